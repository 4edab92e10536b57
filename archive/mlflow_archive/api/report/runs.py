"""Experiments in a report: a table of the runs, charts that compare them, and each run in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.api.report.drawing import MOST_LINES, Line, chart, line_of, small_chart
from mlflow_archive.api.report.images import Images
from mlflow_archive.api.report.markup import Markup, link, pairs, table, text, titled
from mlflow_archive.api.report.parts import heading
from mlflow_archive.kinds import EXPERIMENT, RUN
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.details import RunDetails, run_details
from mlflow_archive.reader.inspection.listing import duration_ms, list_objects
from mlflow_archive.reader.inspection.nesting import nested

_KEYS: Final = 8
_CHARTS: Final = 4
_PARENT: Final = "mlflow.parentRunId"


@dataclass(slots=True)
class _Experiment:
    """What the runs of an experiment that are shown have in common, gathered while each is written."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    params: Counter[str] = field(default_factory=Counter)
    metrics: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[Line]] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def add(self, run: RunDetails, images: Images) -> None:
        """Add a run."""
        info = run.info
        latest = {history.key: history.values[-1] for history in run.metrics}
        self.rows.append({"info": info, "params": run.params, "metrics": latest, "parent": run.tags.get(_PARENT)})
        self.params.update(run.params.keys())
        self.metrics.update(latest.keys())
        for history in run.metrics:
            lines = self.lines.setdefault(history.key, [])
            line = line_of(_name(info), history.steps, history.values) if len(lines) < MOST_LINES else None
            if line is not None:
                lines.append(line)
        self.runs.append(_run(run, images))

    def table(self) -> str:
        """Return the runs with what most of them have, nested ones below the run that they are part of."""
        params, metrics = _most(self.params), _most(self.metrics)
        rows = []
        for depth, row in nested(self.rows, lambda row: str(row["info"]["run_id"]), lambda row: row["parent"]):
            info = row["info"]
            duration = duration_ms(info)
            name = Markup("&emsp;" * depth + link(anchor_of(info["run_id"]), _name(info)))
            rows.append(
                {"run": name, "status": info["status"], "start (UTC)": info["start_time"]}
                | {"seconds": None if duration is None else duration / 1000}
                | {"deleted": "deleted" if info["lifecycle_stage"] == "deleted" else ""}
                | {f"params.{key}": row["params"].get(key) for key in params}
                | {f"metrics.{key}": row["metrics"].get(key) for key in metrics}
            )
        return table(rows)

    def charts(self) -> str:
        """Return charts of the metrics that most runs have, each with the first ten runs that can be drawn."""
        keys = [key for key in _most(self.metrics) if len(self.lines.get(key, ())) > 1][:_CHARTS]
        return "".join(chart(key, self.lines[key]) for key in keys)


def experiments(archive: Archive, most_runs: int, shown: set[str], advance: Callable[[int], None]) -> Iterator[str]:
    """Yield all experiments, and of them the newest runs in full, whose ids go to ``shown``; others are counted."""
    images = Images(archive)
    run_ids_of: dict[str, list[str]] = {}
    for run in list_objects(archive, RUN, columns=["run_id", "experiment_id"], sort="-start_time"):
        run_ids_of.setdefault(run["experiment_id"], []).append(run["run_id"])
    yield heading("runs")
    for row in list_objects(archive, EXPERIMENT):
        facts = {name: value for name, value in row.items() if value is not None and name != "name"}
        yield f"<h3>{text(row['name'])}</h3>{pairs(facts)}"
        run_ids = run_ids_of.pop(row["experiment_id"], [])  # once, however often a damaged archive has an experiment
        described = _Experiment()
        for run_id in run_ids[:most_runs]:
            described.add(run_details(archive, run_id), images)
            shown.add(run_id)
            advance(1)
        yield described.table()
        yield described.charts()
        yield from described.runs
        if len(run_ids) > most_runs:
            yield f"<p>{len(run_ids) - most_runs:,} more runs are in the archive and not in this report.</p>"
        most_runs = max(0, most_runs - len(run_ids))
    if images.left_out:
        yield f"<p>{images.left_out:,} images had no room in this report; the archive has them.</p>"


def anchor_of(owner_id: str) -> str:
    """Return the name of the place in the page where an object is."""
    return f"id-{owner_id}"


def _name(info: dict[str, Any]) -> str:
    return str(info["run_name"] or info["run_id"])


def _most(keys: Counter[str]) -> list[str]:
    return [key for key, _ in sorted(keys.items(), key=lambda item: (-item[1], item[0]))[:_KEYS]]


def _run(run: RunDetails, images: Images) -> str:
    info = {name: value for name, value in run.info.items() if value is not None}
    title = f"{_name(run.info)} · {run.info['status']}"
    metrics = [
        {"metric": h.key, "last": h.values[-1], "points": len(h.values), "history": small_chart(h.values)}
        for h in run.metrics
    ]
    artifacts = [{"artifact": a["path"], "bytes": f"{a['size']:,}", "SHA-256": a["digest"]} for a in run.artifacts]
    inputs = [{name: row[name] for name in ("name", "digest", "source_type", "source")} for row in run.inputs]
    models = [{**row, "model_id": link(anchor_of(row["model_id"]), row["model_id"])} for row in run.logged_models]
    parts = [pairs(info), titled("params", pairs(run.params)), titled("tags", pairs(run.tags))]
    parts += [titled("metrics", table(metrics)), titled("dataset inputs", table(inputs))]
    parts += [titled("logged models", table(models)), titled("artifacts", table(artifacts))]
    parts += [titled("images", images.of(run.artifacts)), titled("gaps", table(run.gaps))]
    head = f'<details id="{text(anchor_of(run.info["run_id"]))}"><summary>{text(title)}</summary>'
    return f"{head}{''.join(parts)}</details>"
