"""A report of an archive for a person who has no tools: one HTML page without scripts or fetched parts.

What is inside, from where, whether it is sound, experiments and runs with charts and images, models with their lineage,
datasets, traces and scorers, and the checksum of every member. The same archive and check give the same page. Every
text of the archive is escaped (``markup``). ``parts`` names the parts, ``runs``, ``objects`` and
``drawing`` make them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mlflow_archive import __version__
from mlflow_archive.api.report.markup import pairs, table, text
from mlflow_archive.api.report.objects import missing, others, registered_models
from mlflow_archive.api.report.parts import COUNTED, PARTS, heading
from mlflow_archive.api.report.runs import experiments
from mlflow_archive.api.report.signatures import signatures_part
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.summary import Summary, summarize
from mlflow_archive.signing.report import SignatureReport
from mlflow_archive.verification.report import VerifyReport

_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{margin-top:2em;border-bottom:1px solid #ccc}h3{margin:1.4em 0 .3em}
table{border-collapse:collapse;margin:.4em 0}th,td{text-align:left;vertical-align:top;padding:2px 10px 2px 0}
th{font-weight:600}td{overflow-wrap:anywhere}code{font:12px ui-monospace,monospace}
details{margin:.3em 0}summary{cursor:pointer}.good{color:#176b2c}.bad{color:#a3121b;font-weight:600}
svg{vertical-align:middle}svg path{fill:none;stroke:#2563a8;stroke-width:1.4}svg path.axis{stroke:#888;stroke-width:1}
svg text{font:10px system-ui,sans-serif;fill:#555}figure{display:inline-block;margin:.5em 1em .5em 0;vertical-align:top}
figure img{max-width:520px;max-height:400px}.legend{max-width:520px;margin:.2em 0;font-size:12px}.wide{overflow-x:auto}
nav a{margin-right:1em}
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
    checked: Mapping[str, str] | None = None,
    signatures: SignatureReport | None = None,
    advance: Callable[[int], None] = lambda runs: None,
) -> Iterator[str]:
    """Yield the page in pieces. ``verified`` is what a verification of this very archive found, None for none.

    ``checked`` says of the check what only the caller knows, as date, place and machine; ``signatures`` is what was
    found of those beside the archive. ``advance`` is called with how many more runs are written. Raises DamagedError.
    """
    options = options or ReportOptions()
    summary = summarize(archive)
    shown: set[str] = set()
    yield _head(summary)
    yield _integrity(verified, checked or {})
    yield _of_base(summary)
    if signatures is not None:
        yield signatures_part(signatures)
    yield _sources(summary)
    yield _contents(archive, summary)
    yield from experiments(archive, options.most_runs, shown, advance)
    yield from registered_models(archive, shown)
    yield from others(archive, shown)
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
    if summary.last_export is not None:
        facts["as it was"] = f"after export {len(summary.exports)} of {summary.last_export}; the check is of all of it"
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{text(facts['archive'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>MLflow archive {text(facts['archive'])}</h1>{pairs(facts)}{_navigation(summary)}"
    )


def _navigation(summary: Summary) -> str:
    names = {part: name for part, name in PARTS.items() if part not in COUNTED or summary.counts.get(COUNTED[part])}
    return "<nav>" + "".join(f'<a href="#{part}">{name}</a>' for part, name in names.items()) + "</nav>"


def _integrity(verified: VerifyReport | None, checked: Mapping[str, str]) -> str:
    if verified is None:
        sentence = "Not checked for this report. <code>mlflow-archive verify</code> checks it."
        return f"{heading('integrity')}<p>{sentence}</p>"
    kind, word = ("good", "sound") if verified.sound else ("bad", "DAMAGED")
    amounts = ", ".join(f"{number:,} {unit}" for unit, number in verified.checked.items())
    problems = [{"code": p.code, "member": p.member, "problem": p.message} for p in verified.problems]
    losses = [{"kind": loss.kind, "id": loss.id, "path": loss.path} for loss in sorted(verified.lost)]
    promise = verified.promise if verified.sound else f"Not true of this archive: {verified.promise}"
    return (
        f'{heading("integrity")}<p class="{kind}">{text(verified.level.value)}: {word} ({text(amounts)})</p>'
        f"<p>{text(promise)}</p>{pairs(checked)}{table(problems)}{table(losses)}"
    )


def _of_base(summary: Summary) -> str:
    """Return what of a delta lies in its base, and so is neither on this page nor checked for it."""
    place = summary.elsewhere
    if place is None:
        return ""
    return (
        f'<p class="bad">A delta: {place.members:,} members ({place.bytes:,} bytes) lie in its base, archive '
        f"{text(place.base)}. They were not looked at, and what they hold, also of what is missing, is not on this "
        "page; --base BASE reads both together.</p>"
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
    return f"{heading('source')}{table(rows)}"


def _contents(archive: Archive, summary: Summary) -> str:
    counts = {name.replace("_", " "): f"{number:,}" for name, number in summary.counts.items() if number}
    return f"{heading('contents')}{pairs(counts)}{missing(archive)}"


def _members(archive: Archive) -> str:
    rows = [
        {"member": m.path, "bytes": f"{m.size:,}", "rows": m.rows, "SHA-256": m.sha256}
        for m in archive.manifest.members
    ]
    sentence = "Of every member; the archive id is the SHA-256 of manifest.json."
    return f"{heading('checksums')}<p>{sentence}</p>{table(rows)}"
