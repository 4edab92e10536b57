"""A report of an archive for a person who has no tools: one HTML page without scripts, links or fetched parts.

What is inside, from where, whether it is sound, experiments and runs with small charts, models with their lineage, and
the checksum of every member. The same archive gives the same page. Every text of the archive is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from mlflow_archive import __version__
from mlflow_archive.format.gaps import GAPS
from mlflow_archive.kinds import EXPERIMENT, REGISTERED_MODEL, RUN
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.details import MetricHistory, RunDetails, run_details
from mlflow_archive.reader.inspection.listing import Query, list_objects
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.reader.inspection.summary import Summary, summarize
from mlflow_archive.verification.report import VerifyReport

_LONGEST: Final = 500
_CHART: Final = (120, 28)
_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{margin-top:2em;border-bottom:1px solid #ccc}h3{margin:1.4em 0 .3em}
table{border-collapse:collapse;margin:.4em 0}th,td{text-align:left;vertical-align:top;padding:2px 10px 2px 0}
th{font-weight:600}td{overflow-wrap:anywhere}code{font:12px ui-monospace,monospace}
details{margin:.3em 0}summary{cursor:pointer}.good{color:#176b2c}.bad{color:#a3121b;font-weight:600}
svg{vertical-align:middle}svg path{fill:none;stroke:#2563a8;stroke-width:1.4}
@media print{details::details-content{content-visibility:visible;display:block}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """``most_runs`` is how many runs are shown in full, the newest of each experiment first; the rest is counted."""

    most_runs: int = 500


def report_html(
    archive: Archive,
    verified: VerifyReport | None = None,
    options: ReportOptions | None = None,
    *,
    advance: Callable[[int], None] = lambda runs: None,
) -> Iterator[str]:
    """Yield the page in pieces. ``verified`` is what a verification of this very archive found, None for none.

    ``advance`` is called with how many more runs are written. Raises DamagedError.
    """
    options = options or ReportOptions()
    summary = summarize(archive)
    yield _head(summary)
    yield _integrity(verified)
    yield _sources(summary)
    yield _contents(summary)
    yield from _experiments(archive, options, advance)
    yield _models(archive)
    yield _members(archive)
    yield "</body></html>\n"


def _head(summary: Summary) -> str:
    facts = {
        "archive": summary.path.rpartition("/")[2],
        "archive id": summary.archive_id,
        "format": summary.version,
        "form": summary.form,
        "size": f"{summary.sizes.total:,} bytes",
        "report made by": f"mlflow-archive {__version__}",
    }
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{_text(facts['archive'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>MLflow archive {_text(facts['archive'])}</h1>{_pairs(facts)}"
    )


def _integrity(verified: VerifyReport | None) -> str:
    if verified is None:
        return "<h2>Integrity</h2><p>Not checked for this report. <code>mlflow-archive verify</code> checks it.</p>"
    kind, word = ("good", "sound") if verified.ok else ("bad", "DAMAGED")
    checked = ", ".join(f"{number:,} {unit}" for unit, number in verified.checked.items())
    problems = [{"code": p.code, "member": p.member, "problem": p.message} for p in verified.problems]
    losses = [{"kind": loss.kind, "id": loss.id, "path": loss.path} for loss in sorted(verified.lost)]
    promise = verified.promise if verified.ok else f"Not true of this archive: {verified.promise}"
    return (
        f'<h2>Integrity</h2><p class="{kind}">{_text(verified.level.value)}: {word} ({_text(checked)})</p>'
        f"<p>{_text(promise)}</p>{_table(problems)}{_table(losses)}"
    )


def _sources(summary: Summary) -> str:
    rows = [
        {
            "export": export["number"],
            "made (UTC)": export["created"],
            "source": export["source"].get("uri"),
            "kind": export["source"].get("kind"),
            "MLflow": export["source"].get("mlflow_version"),
            "schema": export["source"].get("schema_revision"),
            "tool": export["tool"],
            "selection": ", ".join(f"{k}={v}" for k, v in export["selection"].items()) or "everything",
            "gaps": export["gaps"],
        }
        for export in summary.exports
    ]
    return f"<h2>Where it comes from</h2>{_table(rows)}"


def _contents(summary: Summary) -> str:
    counts = {name.replace("_", " "): f"{number:,}" for name, number in summary.counts.items() if number}
    gaps = [{"code": code, "what": GAPS.get(code, ""), "number": number} for code, number in summary.gaps.items()]
    missing = f"<h3>What could not be exported</h3>{_table(gaps)}" if gaps else "<p>Nothing is known to be missing.</p>"
    return f"<h2>What is in it</h2>{_pairs(counts)}{missing}"


def _experiments(archive: Archive, options: ReportOptions, advance: Callable[[int], None]) -> Iterator[str]:
    yield "<h2>Experiments and runs</h2>"
    room = options.most_runs
    for row in list_objects(archive, EXPERIMENT):
        facts = {name: value for name, value in row.items() if value is not None and name != "name"}
        yield f"<h3>{_text(row['name'])}</h3>{_pairs(facts)}"
        query = Query(experiments=(row["experiment_id"],))
        run_rows = (
            list_objects(archive, RUN, query, columns=["run_id", "start_time"], sort="-start_time")
            if row["runs"]
            else []
        )
        for run in run_rows[:room]:
            yield _run(run_details(archive, run["run_id"]))
            advance(1)
        if len(run_rows) > room:
            yield f"<p>{len(run_rows) - room:,} more runs are in the archive and not in this report.</p>"
        room = max(0, room - len(run_rows))


def _run(run: RunDetails) -> str:
    info = {name: value for name, value in run.info.items() if value is not None}
    title = f"{run.info['run_name'] or run.info['run_id']} · {run.info['status']}"
    metrics = [
        {"metric": h.key, "last": h.values[-1], "points": len(h.values), "history": _Markup(_chart(h))}
        for h in run.metrics
    ]
    artifacts = [{"artifact": a["path"], "bytes": f"{a['size']:,}", "SHA-256": a["digest"]} for a in run.artifacts]
    parts = [_pairs(info), _titled("params", _pairs(run.params)), _titled("tags", _pairs(run.tags))]
    parts += [_titled("metrics", _table(metrics)), _titled("artifacts", _table(artifacts))]
    parts += [_titled("logged models", _table(run.logged_models)), _titled("gaps", _table(run.gaps))]
    return f"<details><summary>{_text(title)}</summary>{''.join(parts)}</details>"


def _models(archive: Archive) -> str:
    models = list_objects(archive, REGISTERED_MODEL)
    if not models:
        return ""
    aliases: dict[tuple[str, str, int], list[str]] = {}
    for row in archive.table("registered_model_aliases").to_pylist():
        aliases.setdefault((row["name"], row["workspace"], row["version"]), []).append(row["alias"])
    versions: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in list_objects(archive, "model_version"):
        alias_names = ", ".join(aliases.get((row["name"], row["workspace"], row["version"]), []))
        version = {
            name: row[name] for name in ("version", "current_stage", "status", "run_id", "source", "description")
        }
        versions.setdefault((row["name"], row["workspace"]), []).append({**version, "aliases": alias_names})
    parts = ["<h2>Models and prompts</h2>"]
    for model in models:
        facts = {name: value for name, value in model.items() if value is not None and name != "name"}
        parts.append(f"<h3>{_text(model['name'])}</h3>{_pairs(facts)}")
        parts.append(_table(versions.get((model["name"], model["workspace"]), [])))
    return "".join(parts)


def _members(archive: Archive) -> str:
    rows = [
        {"member": m.path, "bytes": f"{m.size:,}", "rows": m.rows, "SHA-256": m.sha256}
        for m in archive.manifest.members
    ]
    return f"<h2>Checksums</h2><p>Of every member; the archive id is the SHA-256 of manifest.json.</p>{_table(rows)}"


class _Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _titled(title: str, content: str) -> str:
    return f"<p><b>{title}</b></p>{content}" if content else ""


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in values.items())
    return f"<table>{rows}</table>" if rows else ""


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    columns = [name for name in rows[0] if any(row[name] not in (None, "") for row in rows)]
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(row[name])}</td>" for name in columns) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: object) -> str:
    if isinstance(value, _Markup):
        return value
    if value is None:
        return ""
    text = value.plain() if isinstance(value, Moment) else str(value)
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)")


def _chart(history: MetricHistory) -> str:
    """Return a history as a small line over its points, at most one for each pixel."""
    width, height = _CHART
    known = [value for value in history.values if math.isfinite(value)]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    picked = known if len(known) <= width else [known[i * (len(known) - 1) // (width - 1)] for i in range(width)]
    points = (
        f"{i * (width - 2) / (len(picked) - 1) + 1:.1f} {height - 2 - (value - low) / span * (height - 4):.1f}"
        for i, value in enumerate(picked)
    )
    return f'<svg width="{width}" height="{height}" role="img"><path d="M{" L".join(points)}"/></svg>'
