"""Everything beside runs in a report: models with their lineage, datasets, traces, scorers, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mlflow_archive.api.report.markup import Markup, link, pairs, table, text
from mlflow_archive.api.report.parts import heading
from mlflow_archive.api.report.runs import anchor_of
from mlflow_archive.flow.causes import Cause, causes
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import GAPS
from mlflow_archive.kinds import EVALUATION_DATASET, LOGGED_MODEL, MODEL_VERSION, REGISTERED_MODEL, SCORER, TRACE
from mlflow_archive.kinds.version_source import OF_MODEL, OF_RUN
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.listing import list_objects

_ROWS: Final = 500
"""How many logged models, traces or datasets are shown; the others are counted."""
_EXAMPLES: Final = 3

Row = Mapping[str, Any]


def missing(archive: Archive) -> str:
    """Return what could not be exported, by cause."""
    gaps = [Gap(**row) for row in archive.table("gaps").to_pylist()]
    if not gaps and archive.manifest.delta is not None:
        return "<p>This delta lists nothing as missing; what its base lists is not known here.</p>"
    if not gaps:
        return "<p>Nothing is known to be missing.</p>"
    rows = [
        {
            "code": cause.first.code,
            "what": GAPS.get(cause.first.code, ""),
            "reason": cause.first.reason,
            "number": len(cause.gaps),
            "such as": _examples(cause),
        }
        for cause in causes(gaps)
    ]
    return f"<h3>What could not be exported</h3>{table(rows)}"


def _examples(cause: Cause) -> str:
    names = [" ".join(filter(None, (gap.owner_kind, gap.owner_id, gap.path))) for gap in cause.gaps[:_EXAMPLES]]
    return "; ".join(names) + (", …" if len(cause.gaps) > _EXAMPLES else "")


def registered_models(archive: Archive, run_ids: set[str]) -> Iterator[str]:
    """Yield registered models and prompts with their versions, each with links to what it stands on."""
    models = list_objects(archive, REGISTERED_MODEL)
    if models:
        yield heading("models")
    aliases: dict[tuple[str, str, int], list[str]] = {}
    for row in archive.table("registered_model_aliases").to_pylist():
        aliases.setdefault((row["name"], row["workspace"], row["version"]), []).append(row["alias"])
    versions: dict[tuple[str, str], list[Row]] = {}
    for row in list_objects(archive, MODEL_VERSION):
        names = ", ".join(aliases.get((row["name"], row["workspace"], row["version"]), []))
        facts = {name: row[name] for name in ("version", "current_stage", "status", "description")}
        origin = {"run": _run(row["run_id"], run_ids), "source": _source(row["source"], run_ids)}
        versions.setdefault((row["name"], row["workspace"]), []).append({**facts, "aliases": names, **origin})
    for model in models:
        facts = {name: value for name, value in model.items() if value is not None and name != "name"}
        yield f"<h3>{text(model['name'])}</h3>{pairs(facts)}"
        yield table(versions.get((model["name"], model["workspace"]), []))


def _run(run_id: str | None, run_ids: set[str]) -> Markup | str | None:
    return link(anchor_of(run_id), run_id) if run_id in run_ids and run_id is not None else run_id


def _source(source: str | None, run_ids: set[str]) -> Markup | str | None:
    """Return where a version's files come from, with a link to the logged model or run."""
    if source and (match := OF_MODEL.fullmatch(source)):
        return link(anchor_of(match[1] or match[3]), source)
    if source and (match := OF_RUN.fullmatch(source)) and (match[1] or match[3]) in run_ids:
        return link(anchor_of(match[1] or match[3]), source)
    return source


def others(archive: Archive, run_ids: set[str]) -> Iterator[str]:
    """Yield logged models, datasets, traces and scorers as tables."""
    columns = ["model_id", "name", "experiment", "status", "model_type", "source_run_id", "creation_timestamp"]
    models = list_objects(archive, LOGGED_MODEL, columns=columns)
    for row in models:
        row["model_id"] = Markup(f'<span id="{anchor_of(row["model_id"])}">{text(row["model_id"])}</span>')
        row["source_run_id"] = _run(row["source_run_id"], run_ids)
    yield from _section("logged-models", models)
    datasets = list_objects(archive, "dataset", columns=["name", "digest", "experiment", "source_type", "source"])
    runs: dict[tuple[str, str], set[str]] = {}
    for row in archive.table("dataset_inputs", columns=["run_id", "dataset_name", "dataset_digest"]).to_pylist():
        runs.setdefault((row["dataset_name"], row["dataset_digest"]), set()).add(row["run_id"])
    for row in datasets:
        row["runs"] = len(runs.get((row["name"], row["digest"]), ()))
    yield from _section("datasets", datasets)
    columns = ["dataset_id", "name", "digest", "created_time", "created_by"]
    yield from _section("evaluation", list_objects(archive, EVALUATION_DATASET, columns=columns))
    columns = ["trace_id", "trace_name", "experiment", "state", "request_time", "execution_duration_ms"]
    traces = list_objects(
        archive, TRACE, columns=[*columns, "request_preview", "response_preview"], sort="-request_time", limit=_ROWS + 1
    )
    yield from _section("traces", traces, _rows(archive, "traces", len(traces)))
    yield from _section("scorers", list_objects(archive, SCORER, columns=["name", "experiment"]))


def _rows(archive: Archive, name: str, listed: int) -> int:
    return archive.table(name, columns=[f"{name[:-1]}_id"]).num_rows if listed > _ROWS else listed


def _section(part: str, rows: Sequence[Row], total: int | None = None) -> Iterator[str]:
    total = len(rows) if total is None else total
    if rows:
        yield f"{heading(part)}{table(rows[:_ROWS])}"
    if total > _ROWS:
        yield f"<p>{total - _ROWS:,} more are in the archive and not in this report.</p>"
