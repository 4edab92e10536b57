"""MLflow's search syntax over runs that no server searches, judged by MLflow itself.

MLflow is imported only where a filter is given, as that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.fingerprint import LatestMetric
from mlflow_archive.optional import needing


class SearchedRun(Protocol):
    """A run as the search sees it; ``inputs`` are rows of ``dataset_inputs``, each with its ``dataset_input_tags``."""

    @property
    def run_id(self) -> str: ...

    @property
    def info(self) -> Mapping[str, Any]: ...

    @property
    def params(self) -> Mapping[str, str]: ...

    @property
    def tags(self) -> Mapping[str, Any]: ...

    @property
    def inputs(self) -> Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]: ...


Matches = Callable[[SearchedRun, Iterable[LatestMetric]], bool]


def compile_filter(filter_string: str) -> Matches:
    """Return a function of a run and its latest metrics that returns whether the run matches.

    Raises SelectionError, with what MLflow says, for a filter that MLflow refuses; the function does too, as some
    mistakes only show when a run is compared.
    """
    with needing("mlflow", "--filter where no server searches"):
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.utils.search_utils import SearchUtils  # noqa: PLC0415

    def matches(record: SearchedRun, latest: Iterable[LatestMetric]) -> bool:
        try:
            return bool(SearchUtils.filter([_as_mlflow(record, latest)], filter_string))
        except MlflowException as error:
            raise _refused(filter_string, error) from error

    try:
        SearchUtils.parse_search_filter(filter_string)
    except MlflowException as error:
        raise _refused(filter_string, error) from error
    return matches


def _refused(filter_string: str, error: Exception) -> SelectionError:
    return SelectionError(f"--filter {filter_string!r} is not in MLflow's search syntax: {error}")


def _as_mlflow(record: SearchedRun, latest: Iterable[LatestMetric]) -> Any:
    from mlflow import entities  # noqa: PLC0415

    info = record.info
    datasets = [
        entities.DatasetInput(
            dataset=entities.Dataset(name=row["dataset_name"], digest=row["dataset_digest"], source_type="", source=""),
            tags=[entities.InputTag(key=tag["key"], value=tag["value"]) for tag in tags],
        )
        for row, tags in record.inputs
    ]
    return entities.Run(
        run_info=entities.RunInfo(
            run_id=record.run_id,
            experiment_id=info["experiment_id"],
            user_id=info["user_id"] or "",
            status=info["status"] or "",
            start_time=info["start_time"] or 0,
            end_time=info["end_time"],
            lifecycle_stage=info["lifecycle_stage"],
            artifact_uri=info["artifact_uri"],
            run_name=info["run_name"],
        ),
        run_data=entities.RunData(
            metrics=[entities.Metric(key, value, time, step) for key, step, time, value in latest],
            params=[entities.Param(key, value) for key, value in record.params.items()],
            tags=[entities.RunTag(key, value) for key, value in record.tags.items()],
        ),
        run_inputs=entities.RunInputs(dataset_inputs=datasets),
    )
