"""An archive to look into from Python: tables, search, runs, artifacts.

>>> import mlflow_archive as ma
>>> with ma.open("backup.mlfa") as a:  # doctest: +SKIP
...     a.search_runs(filter_string="metrics.loss < 0.1", order_by=["metrics.loss ASC"])
...     a.run("4b1f0c").artifacts["model/MLmodel"].read_text()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlflow_archive.api.answer import Answer
from mlflow_archive.api.objects import Run, StoredObject
from mlflow_archive.api.registry import ModelsByName, ModelVersion, stored_object
from mlflow_archive.api.searching import search_runs, search_traces
from mlflow_archive.api.table_view import TableView
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.format.location import ArchivePath, ArchivePlace
from mlflow_archive.format.notebook import pairs_html
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.inspection.artifact_owner import without_scheme
from mlflow_archive.reader.inspection.details import find_run
from mlflow_archive.reader.inspection.model_versions import find_version
from mlflow_archive.reader.inspection.objects import find_object
from mlflow_archive.reader.inspection.rows import dated
from mlflow_archive.reader.inspection.summary import summarize
from mlflow_archive.selecting.selection import refuse_text
from mlflow_archive.storage.closing import Closing

if TYPE_CHECKING:
    import duckdb
    import pandas as pd


class OpenArchive(Closing):
    """An open archive, either form, read-only; a context manager. Every table is an attribute: ``a.runs``.

    It may lie in a bucket (``s3://…``) or, a single file, on a web server; then RemotePlaceError is raised, too.
    A delta shows what lies in it, with ``base`` all that the two make together. With ``at``, the number of an export or
    a time (ISO 8601, a ``datetime``, or a ``date`` for the end of that day in UTC), it is the archive as it was then.
    Raises SelectionError for another base or an export that is not there, NotAnArchiveError, FormatTooNewError,
    DamagedError where not even the manifest can be read; all of them are MlflowArchiveError.
    """

    def __init__(self, path: ArchivePath, *, base: ArchivePath | None = None, at: AskedAt | None = None) -> None:
        self._archive: Archive = open_archive(path, base=base, at=at)
        views = {name: TableView(self._archive, name) for name in TABLES}
        self.tables: Mapping[str, TableView] = MappingProxyType(views)
        self._attached: list[object] = []

    @property
    def path(self) -> ArchivePlace:
        """The directory or file, or its place in a bucket or on a web server, whose text is its URI."""
        return self._archive.path

    @property
    def id(self) -> str:
        """The archive id: the SHA-256 of the manifest, in hex."""
        return self._archive.id

    @property
    def exports(self) -> Sequence[Mapping[str, object]]:
        """What each export states of itself, oldest first: when it was made, of which source, with what tool."""
        exports: Sequence[Mapping[str, object]] = dated(summarize(self._archive).exports)
        return exports

    def __getattr__(self, name: str) -> TableView:
        if name in TABLES:
            return self.tables[name]
        raise AttributeError(f"an archive has no {name!r}; its tables are {', '.join(TABLES)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *TABLES]

    def search_runs(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str = "",
        *,
        experiment_names: Sequence[str] | None = None,
        order_by: Sequence[str] | None = None,
        max_results: int | None = None,
        deleted: bool = False,
    ) -> pd.DataFrame:
        """Search runs with MLflow's syntax; the data frame has the shape of that of ``mlflow.search_runs``.

        Without experiments all are searched. ``deleted`` asks for deleted runs, too. Raises SelectionError for a
        filter, an order or an experiment that makes no sense.
        """
        patterns = _patterns(experiment_ids, experiment_names, order_by)
        return search_runs(
            self._archive, patterns, filter_string, order_by=order_by or (), max_results=max_results, deleted=deleted
        )

    def search_traces(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str = "",
        *,
        experiment_names: Sequence[str] | None = None,
        order_by: Sequence[str] | None = None,
        max_results: int | None = None,
        include_spans: bool = True,
    ) -> pd.DataFrame:
        """Search traces with MLflow's syntax; the data frame has the columns of that of ``mlflow.search_traces``.

        It has none of MLflow's own objects: no column ``trace``; ``request_time`` is a time, each span is as MLflow
        wrote it, each assessment a row of the table ``assessments`` with its value read. Beside them are
        ``experiment_id``, ``trace_name`` and ``session_id``. Without experiments all are searched. Without spans,
        requests and responses are their previews. Raises as :meth:`search_runs`.
        """
        patterns = _patterns(experiment_ids, experiment_names, order_by)
        return search_traces(
            self._archive,
            patterns,
            filter_string,
            order_by=order_by or (),
            max_results=max_results,
            include_spans=include_spans,
        )

    def sql(self, query: str) -> Answer:
        """Answer a SQL query over all tables (see :mod:`mlflow_archive.api.sql`). Raises SelectionError."""
        from mlflow_archive.api.sql import SqlSession  # noqa: PLC0415 - optional

        with SqlSession(self._archive) as session:
            return Answer(session.query(query))

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str = "archive") -> None:
        """Put all tables into a DuckDB connection of your own as views: ``select * from archive.runs``.

        They lie in a database in memory of that name, beside yours, into which nothing is written; the archive must
        stay open while they are asked. All tables are checked first, which reads them once. Raises QueryError where the
        name is taken, DamagedError for a table that is damaged; then nothing is attached.
        """
        from mlflow_archive.api.sql import attach  # noqa: PLC0415 - optional

        self._attached += attach(self._archive, connection, name)

    def run(self, run_id: str) -> Run:
        """Return a run by its id, the start of it, or its name if no other has it. Raises SelectionError."""
        return Run(self._archive, find_run(self._archive, run_id))

    def get(self, name: str, kind: str | None = None) -> StoredObject:
        """Return an object of any kind by id, the start of it, name, or MLflow's own word for it.

        Those are ``runs:/ID``, ``models:/m-ID`` and, for one version, ``models:/churn/3``, ``models:/churn@champion``
        or ``prompts:/ask/2``. Raises SelectionError for none, or several.
        """
        if kind is None and (version := find_version(self._archive, name)):
            return ModelVersion(self._archive, version)
        return stored_object(self._archive, *find_object(self._archive, without_scheme(name), kind))

    @property
    def models(self) -> ModelsByName:
        """The registered models that are no prompts, by name: ``a.models["churn"].versions[3]``."""
        return ModelsByName(self._archive, prompts=False)

    @property
    def prompts(self) -> ModelsByName:
        """The prompts, by name."""
        return ModelsByName(self._archive, prompts=True)

    def close(self) -> None:
        """Close the files of the archive; what was opened or attached from it cannot be read any more."""
        self._archive.close()

    def __repr__(self) -> str:
        return f"<archive {self.path} {self.id[:12]}…>"

    def _repr_html_(self) -> str:
        summary = summarize(self._archive)
        head = {"path": summary.path, "archive id": summary.archive_id, "format": summary.version}
        return pairs_html("archive", head) + pairs_html("rows", {k: f"{v:,}" for k, v in summary.counts.items() if v})


def _patterns(
    experiment_ids: Sequence[str] | None, experiment_names: Sequence[str] | None, order_by: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the experiments that a search asks for. Raises TypeError for one text in place of a list."""
    lists = {"experiment_ids": experiment_ids, "experiment_names": experiment_names, "order_by": order_by}
    for name, value in lists.items():
        refuse_text(name, value)
    return (*(experiment_ids or ()), *(experiment_names or ()))
