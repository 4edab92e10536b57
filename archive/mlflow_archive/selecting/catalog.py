"""What a selection asks of a source: ids, parents and links, in the tables and columns of an archive."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import LOGGED_MODEL, RUN, TABLES, TIMESTAMP, named_owner
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import (
    PROMPT_EXPERIMENTS,
    ModelDependencies,
    Version,
    dependencies_of,
    prompt_experiments,
)

Where = tuple[str, Collection[str]]
"""A column, and values of which it must have one."""

VERSION_COLUMNS: Final = ("name", "workspace", "version", "source", "storage_location", "run_id", "current_stage")
PARENT_TAG: Final = "mlflow.parentRunId"
_ROOTS: Final = {
    RUN: ("runs", "run_id", "artifact_uri"),
    LOGGED_MODEL: ("logged_models", "model_id", "artifact_location"),
}


class Catalog(Protocol):
    """The ids, parents and links of one source. Asked for no more tables, columns and rows than a selection needs."""

    @property
    def place(self) -> object:
        """What messages call the source."""

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        """Yield some columns of a table of the archive, in pieces; ids in the order in which the source gives them.

        Times are milliseconds since the epoch, of any type that Arrow casts to int64. What the source does not tell is
        null; of a table that it lacks there are no rows.
        """

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        """Return what those versions of some registered models that come stand on."""

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        """Return the parents of some runs, or their children, at least those in selected experiments."""

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        """Return those of some objects of which nothing can be read; they are selected, so that they are reported."""


class RowRegistry:
    """The Registry of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        table, key, location = _ROOTS[kind]
        return {row[key]: row[location] for row in records(self._catalog, table, (key, location), (key, ids))}

    def makers(self, models: Collection[str]) -> set[str]:
        rows = records(self._catalog, "logged_models", ("source_run_id",), ("model_id", models))
        return {row["source_run_id"] for row in rows if row["source_run_id"]}

    def versions(self, names: Collection[str]) -> list[Version]:
        """Return the versions of some registered models, of every workspace."""
        return list(records(self._catalog, "model_versions", VERSION_COLUMNS, ("name", names)))

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> Version | None:
        if alias is not None:
            columns = ("workspace", "alias", "version")
            aliases = records(self._catalog, "registered_model_aliases", columns, ("name", [name]))
            version = next((a["version"] for a in aliases if (a["workspace"], a["alias"]) == (workspace, alias)), None)
        for row in self.versions([name]):
            if (row["workspace"], row["version"]) == (workspace, version) and row["current_stage"] != TOMBSTONE:
                return row
        return None


def related_in(catalog: Catalog, runs: Collection[str], *, children: bool) -> set[str]:
    """Return the parents of some runs of a catalog, or their children, by the tags of all runs."""
    asked, answer = ("value", "run_id") if children else ("run_id", "value")
    among, found = pa.array(sorted(runs), pa.string()), set[str]()
    for links in catalog.rows("tags", ("run_id", "value"), ("key", (PARENT_TAG,))):
        found.update(links.filter(pc.is_in(links[asked], value_set=among))[answer].drop_null().to_pylist())
    return found


def dependencies_in(catalog: Catalog, names: Sequence[str], chosen: ChosenVersions) -> ModelDependencies:
    """Return what those versions of some registered models of a catalog that are chosen stand on."""
    registry = RowRegistry(catalog)
    tags = records(catalog, "registered_model_tags", ("key", "value"), ("name", names))
    experiments = prompt_experiments(tag["value"] for tag in tags if tag["key"] == PROMPT_EXPERIMENTS)
    versions = registry.versions(names)
    taken = [row for row in versions if chosen.takes(named_owner(row["name"], row["workspace"]), row["version"])]
    return dependencies_of(names, taken, registry, experiments)


def records(
    catalog: Catalog, table: str, columns: Sequence[str], where: Where | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a catalog one by one."""
    for rows in catalog.rows(table, columns, where):
        yield from rows.to_pylist()


def rows_of(table: str, values: Mapping[str, Iterable[Any]]) -> pa.Table:
    """Return rows for a catalog from values by column: texts of any type, and times as milliseconds.

    >>> rows_of("runs", {"run_id": ["a"], "start_time": [1]}).to_pylist()
    [{'run_id': 'a', 'start_time': 1}]
    """
    schema = TABLES[table].schema
    return pa.table({name: _array(column, schema.field(name).type) for name, column in values.items()})


def rows_from(
    table: str, values: Sequence[Mapping[str, Any]], columns: Sequence[str], where: Where | None = None
) -> pa.Table:
    """Return the same from rows that may hold more, and be more, than what is asked for; what they lack is null."""
    names = {*columns, *([where[0]] if where is not None else ())}
    rows = rows_of(table, {name: [row.get(name) for row in values] for name in names})
    if where is not None:
        rows = rows.filter(pc.is_in(rows[where[0]], value_set=pa.array(where[1], pa.string())))
    return rows.select(list(columns))


def _array(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        return pa.array([None if value is None else str(value) for value in values], kind)
    # A database may hold anything in the place of a number.
    numbers = [value if isinstance(value, int) else None for value in values]
    return pa.array(numbers, pa.int64() if kind == TIMESTAMP else kind)
