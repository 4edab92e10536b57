"""A target without a server: any tracking store that MLflow itself can open, used in this process.

MLflow opens an older database by migrating it, unasked; such a one is refused here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import Any, ParamSpec, TypeVar

from mlflow_archive.errors import ItemError, ServerError, TargetError
from mlflow_archive.sinks.replay.artifacts import LocalPlace, RepositoryPlace, local_root
from mlflow_archive.sinks.replay.target import (
    PAGE,
    ArtifactPlace,
    DatasetInput,
    NewRun,
    Point,
    TargetExperiment,
    TargetRun,
    tag_condition,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _explained(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Turn what MLflow raises into ServerError, with the status its server would give."""

    @functools.wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        target: Any = args[0]
        try:
            with target.turn:
                return method(*args, **kwargs)
        except target.mlflow_exception as exc:
            status, code = exc.get_http_status_code(), exc.error_code
            message = f"{target.uri} refused {method.__name__}: {exc.message}"
            raise ServerError(message, status=status, error_code=code) from exc

    return call


class StoreTarget:
    """A tracking store in this process. ``artifact_root`` is for new experiments, None as MLflow has it.

    Raises TargetError where full MLflow is missing, the store cannot be opened, or its schema is an older one.
    """

    def __init__(self, uri: str, *, artifact_root: str | None = None) -> None:
        self.uri = _without_password(uri)
        # SQLite has one writer: threads that take turns do not run into its lock.
        self.turn: AbstractContextManager[Any] = RLock() if uri.startswith("sqlite") else nullcontext()
        self._store, self.mlflow_exception = _open_store(uri, self.uri, artifact_root)

    def check(self) -> None:
        next(self.experiments(), None)

    def close(self) -> None:
        engine = getattr(self._store, "engine", None)
        if engine is not None:
            engine.dispose()

    def experiments(self) -> Iterator[TargetExperiment]:
        token = None
        while True:
            page = self._experiment_page(token)
            for found in page:
                yield TargetExperiment(
                    experiment_id=found.experiment_id,
                    name=found.name,
                    deleted=found.lifecycle_stage == "deleted",
                    tags=dict(found.tags),
                )
            token = page.token
            if not token:
                return

    @_explained
    def _experiment_page(self, token: str | None) -> Any:
        from mlflow.entities import ViewType  # noqa: PLC0415

        return self._store.search_experiments(
            view_type=ViewType.ALL, max_results=1000, order_by=["creation_time ASC"], page_token=token
        )

    @_explained
    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        from mlflow.entities import ExperimentTag  # noqa: PLC0415

        tag_list = [ExperimentTag(key, value) for key, value in tags.items()]
        return str(self._store.create_experiment(name, artifact_location=None, tags=tag_list))

    @_explained
    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        from mlflow.entities import ExperimentTag  # noqa: PLC0415

        self._store.set_experiment_tag(experiment_id, ExperimentTag(key, value))

    @_explained
    def delete_experiment(self, experiment_id: str) -> None:
        self._store.delete_experiment(experiment_id)

    @_explained
    def restore_experiment(self, experiment_id: str) -> None:
        self._store.restore_experiment(experiment_id)

    def tagged_runs(self, experiment_id: str, key: str, value: str | None = None) -> Iterator[TargetRun]:
        token = None
        while True:
            page = self._run_page(experiment_id, tag_condition(key, value), token)
            yield from map(_run, page)
            token = page.token
            if not token:
                return

    @_explained
    def _run_page(self, experiment_id: str, condition: str, token: str | None) -> Any:
        from mlflow.entities import ViewType  # noqa: PLC0415

        order = ["attributes.start_time ASC"]
        return self._store.search_runs([experiment_id], condition, ViewType.ALL, PAGE, order, token)

    @_explained
    def get_run(self, run_id: str) -> TargetRun:
        return _run(self._store.get_run(run_id))

    @_explained
    def create_run(self, new: NewRun) -> TargetRun:
        from mlflow.entities import RunTag  # noqa: PLC0415

        tags = [RunTag(key, value) for key, value in new.tags.items()]
        made = self._store.create_run(
            experiment_id=new.experiment_id,
            user_id=new.user_id,
            start_time=new.start_time,
            tags=tags,
            run_name=new.name,
        )
        return _run(made)

    @_explained
    def log_batch(
        self, run_id: str, *, metrics: Sequence[Point], params: Sequence[tuple[str, str]], tags: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

        self._store.log_batch(
            run_id,
            metrics=[Metric(key, value, time, step) for key, value, time, step in metrics],
            params=[Param(key, value) for key, value in params],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )

    @_explained
    def log_inputs(self, run_id: str, inputs: Sequence[DatasetInput]) -> None:
        from mlflow.entities import Dataset, InputTag  # noqa: PLC0415
        from mlflow.entities import DatasetInput as MlflowInput  # noqa: PLC0415

        datasets = [
            MlflowInput(
                Dataset(item.name, item.digest, item.source_type, item.source, item.schema, item.profile),
                [InputTag(key, value) for key, value in item.tags],
            )
            for item in inputs
        ]
        self._store.log_inputs(run_id, datasets)

    @_explained
    def update_run(self, run_id: str, *, status: str | None, end_time: int | None, name: str | None) -> None:
        from mlflow.entities import RunStatus  # noqa: PLC0415

        self._store.update_run_info(run_id, None if status is None else RunStatus.from_string(status), end_time, name)

    @_explained
    def delete_tag(self, run_id: str, key: str) -> None:
        try:
            self._store.delete_tag(run_id, key)
        except self.mlflow_exception as exc:
            if exc.error_code != "RESOURCE_DOES_NOT_EXIST" or key in self.get_run(run_id).tags:
                raise

    @_explained
    def delete_run(self, run_id: str) -> None:
        self._store.delete_run(run_id)

    @_explained
    def restore_run(self, run_id: str) -> None:
        self._store.restore_run(run_id)

    def artifacts(self, run: TargetRun) -> ArtifactPlace:
        if run.artifact_uri.startswith("mlflow-artifacts:"):
            message = (
                f"artifacts of {run.run_id} belong behind a server ({run.artifact_uri}); "
                "import through that server's http address"
            )
            raise ItemError(message)
        root = local_root(run.artifact_uri)
        return RepositoryPlace(run.artifact_uri) if root is None else LocalPlace(root)


def _without_password(uri: str) -> str:
    scheme, found, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return scheme + found + authority.rpartition("@")[2] + slash + path


def _open_store(uri: str, shown: str, artifact_root: str | None) -> tuple[Any, Any]:
    try:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - full MLflow takes seconds to import
        from mlflow.tracking._tracking_service.utils import _get_store  # noqa: PLC0415

        if uri.partition(":")[0].partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql"):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401, PLC0415

            _refuse_older_schema(uri, shown)
    except ImportError as exc:
        message = (
            f"writing into {shown} without a server needs full MLflow: pip install 'mlflow-archive[server]' ({exc})"
        )
        raise TargetError(message) from exc
    try:
        return _get_store(uri, artifact_root), MlflowException
    except Exception as exc:  # drivers, SQLAlchemy and plugins each have errors of their own
        message = f"{shown} cannot be opened as an MLflow tracking store: {exc}"
        raise TargetError(message) from exc


def _refuse_older_schema(uri: str, shown: str) -> None:
    import sqlalchemy  # noqa: PLC0415
    from mlflow.store.db.utils import _get_latest_schema_revision  # noqa: PLC0415

    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return
            found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    except sqlalchemy.exc.SQLAlchemyError as exc:
        message = f"{shown} cannot be opened as a database: {type(exc).__name__}; check the URI and its permissions"
        raise TargetError(message) from exc
    finally:
        engine.dispose()
    expected = _get_latest_schema_revision()
    if found != expected:
        message = (
            f"{shown} has the schema revision {found}, the installed MLflow writes {expected}; "
            "make a backup and run `mlflow db upgrade`, or use the MLflow version that the database belongs to"
        )
        raise TargetError(message)


def _run(found: Any) -> TargetRun:
    info, data = found.info, found.data
    inputs = found.inputs.dataset_inputs if found.inputs else []
    # The entities keep only the latest value of a metric in ``metrics``; step and time are in the list behind it.
    return TargetRun(
        run_id=info.run_id,
        experiment_id=str(info.experiment_id),
        name=info.run_name or data.tags.get("mlflow.runName"),
        user_id=info.user_id or "",
        status=info.status,
        start_time=info.start_time or 0,
        end_time=info.end_time,
        deleted=info.lifecycle_stage == "deleted",
        artifact_uri=info.artifact_uri,
        params=dict(data.params),
        tags=dict(data.tags),
        latest={point.key: (point.key, point.value, point.timestamp, point.step) for point in data._metric_objs},
        inputs=frozenset((item.dataset.name, item.dataset.digest) for item in inputs),
    )
