"""The runs of an archive as ``run_filter`` gives them to MLflow's own search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow_archive.format.fingerprint import LatestMetric
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.details import run_details
from mlflow_archive.reader.inspection.listing import list_objects


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedRun:
    """A run as ``sources.filtering.run_filter.SearchedRun``, with its ``latest`` metrics."""

    run_id: str
    info: Mapping[str, Any]
    params: Mapping[str, str]
    tags: Mapping[str, Any]
    inputs: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]
    latest: Sequence[LatestMetric]


def mlflow_runs(archive: Archive) -> Iterator[SearchedRun]:
    """Yield all runs of an archive in the order of its table."""
    for row in list_objects(archive, "run", columns=["run_id"]):
        run = run_details(archive, row["run_id"])
        yield SearchedRun(
            run_id=row["run_id"],
            info=run.info,
            params=run.params,
            tags=run.tags,
            inputs=[
                (
                    {"dataset_name": each["name"], "dataset_digest": each["digest"]},
                    [{"key": key, "value": value} for key, value in each["tags"].items()],
                )
                for each in run.inputs
            ],
            latest=[(h.key, h.steps[-1], h.timestamps[-1], h.values[-1]) for h in run.metrics],
        )
