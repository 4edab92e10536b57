"""What a family needs to say what the target must hold: the rules of the replay, and what it became of each object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import pyarrow.compute as pc

from mlflow_archive.api.proof.comparing import Excused, Expected
from mlflow_archive.api.proof.identities import Identities
from mlflow_archive.api.proof.left_out import LeftOut
from mlflow_archive.api.proof.mapping import mapped, without_unknown
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.api.proof.versions import KnownVersions, TargetRegistry
from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format.source_tags import EXPORTED, OF_THE_EXPORT, ExportFacts, moment_tags
from mlflow_archive.kinds import (
    BY_ROW,
    EXPERIMENT,
    IDENTITIES,
    REGISTERED_MODEL,
    TABLES,
    WORKSPACE,
    Table,
    is_named,
    named_owner,
    owner_id,
)
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.sinks.replay.context import ReplayContext, WritableRuns
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.places.experiments import Bound, ExperimentMap
from mlflow_archive.sinks.replay.registry.planned_version import EXPERIMENT_IDS, RUN_IDS
from mlflow_archive.sinks.replay.target.nothing_there import nothing_there
from mlflow_archive.sinks.replay.target.target import Target, TargetExperiment
from mlflow_archive.sinks.replay.traces.trace_info import MODEL, SOURCE_RUN
from mlflow_archive.sinks.replay.writing.earlier_imports import LoggedModelIndex, RunIndex
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.references import HISTORY, LINKED_PROMPTS, PARENT
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of
from mlflow_archive.sinks.replay.writing.version_numbers import VersionNumbers

RowsByTable = Mapping[str, list[Expected]]

_REFERRING: Final = frozenset({PARENT, HISTORY, LINKED_PROMPTS, EXPERIMENT_IDS, RUN_IDS, SOURCE_RUN, MODEL})
"""Keys of tags and metadata that name objects."""
_ABSENT: Final = "not there: "
"""Before the id of an object that the target has not, which may be that of another object there."""
_WITH_IDS: Final = frozenset(kind for kind, table in IDENTITIES.items() if len(table.owner) == 1 and kind != WORKSPACE)
"""Kinds whose objects have an id."""


class KnownExperiments(ExperimentMap):
    """Experiments whose places in the target are known; nothing is looked for or made."""

    def __init__(
        self,
        target: Target,
        options: ReplayOptions,
        receipt: Receipt,
        export_of: Callable[[Row], ExportFacts],
        ids: Identities,
    ) -> None:
        super().__init__(target, options, receipt, export_of)
        self._ids = ids

    def bind(self, experiment_id: str) -> Bound:
        target_id = self._ids.of(EXPERIMENT).get(experiment_id)
        if target_id is None or experiment_id not in self.rows:
            message = f"experiment {experiment_id} is not in the target"
            raise ItemError(message)
        deleted = self.rows[experiment_id]["lifecycle_stage"] == "deleted"
        return Bound(name="", target_id=target_id, new=True, ends_deleted=deleted)


def planning_context(
    target: Archive,
    options: ReplayOptions,
    receipt: Receipt,
    export_of: Callable[[Row], ExportFacts],
    ids: Identities,
) -> ReplayContext:
    """Return the context in which writers plan, and write nothing: all that is in the target is known by its id."""
    place = nothing_there(str(target.newest_export.source.get("uri", "")), _experiments_of(target))
    experiments = KnownExperiments(place, options, receipt, export_of, ids)
    return ReplayContext(
        target=place,
        options=options,
        receipt=receipt,
        export_of=export_of,
        experiments=experiments,
        runs=WritableRuns(place, experiments, dry_run=True),
        run_index=RunIndex(place, receipt),
        model_index=LoggedModelIndex(place.api, receipt),
        versions=VersionNumbers(place.api, options, receipt),
    )


def _experiments_of(target: Archive) -> list[TargetExperiment]:
    tags: dict[str, dict[str, str]] = {}
    for row in target.table("experiment_tags").to_pylist():
        tags.setdefault(row["experiment_id"], {})[row["key"]] = row["value"] or ""
    return [
        TargetExperiment(
            experiment_id=row["experiment_id"],
            name=row["name"],
            deleted=row["lifecycle_stage"] == "deleted",
            tags=tags.get(row["experiment_id"], {}),
        )
        for row in target.table("experiments").to_pylist()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The archive and what was read back of the target, with the ids and version numbers in both."""

    archive: Archive
    target: Archive
    ids: Identities
    blobs: Blobs
    versions: KnownVersions
    registry: TargetRegistry


@dataclass(kw_only=True)
class Share:
    """Some objects of one kind, all of one workspace: their rows, and what the target holds of them.

    ``workspace`` is the target's, ``source_workspace`` that of the archive. ``read_elsewhere`` are rows of the target
    that a family has looked up itself, by table.
    """

    kind: str
    chunk: Chunk
    context: ReplayContext
    sides: Sides
    workspace: str
    source_workspace: str
    left_out: LeftOut
    read_elsewhere: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _originals: dict[str, list[Row]] = field(default_factory=dict)

    def singly(self) -> Iterator[Share]:
        """Yield each object alone."""
        for source_id in self.source_ids:
            tables = {
                name: rows.filter(pc.equal(owner_ids(rows, TABLES[name]), source_id))
                for name, rows in self.chunk.tables.items()
                if TABLES[name].entity == self.kind
            }
            files = [file for file in self.chunk.artifacts if file.owner_id == source_id]
            yield replace(self, chunk=Chunk(tables=tables, artifacts=files), read_elsewhere={}, _originals={})

    def source_rows(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table as the archive has them."""
        if TABLES[name].entity == BY_ROW:
            return self._common_rows(self.sides.archive, name, self.source_ids)
        return list(rows_of(self.chunk, name))

    @cached_property
    def source_ids(self) -> list[str]:
        """The ids of the objects in the archive."""
        identity = IDENTITIES[self.kind]
        return [owner_id(identity, row) for row in rows_of(self.chunk, identity.name)]

    def target_rows(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table that the target holds of the same objects."""
        if name in self.read_elsewhere:
            return self.read_elsewhere[name]
        table, identity = TABLES[name], IDENTITIES[self.kind]
        objects = self.originals(identity.name)
        target_ids = {owner_id(identity, row) for row in objects}
        if table.entity == BY_ROW:
            return self._common_rows(self.sides.target, name, target_ids)
        first = identity.owner[0]
        rows = self.sides.target.table(name, owners={row[first] for row in objects})
        return [row for row in rows_of(Chunk(tables={name: rows}), name) if owner_id(table, row) in target_ids]

    def _common_rows(self, archive: Archive, name: str, ids: Collection[str]) -> list[dict[str, Any]]:
        rows = archive.table(name, owners=ids)
        rows = rows.filter(pc.equal(rows["owner_kind"], self.kind))
        return list(rows_of(Chunk(tables={name: rows}), name))

    def originals(self, name: str) -> list[Row]:
        """Return the rows of a table with the ids of the target; the same objects each time."""
        if name not in self._originals:
            self._originals[name] = [self._mapped(TABLES[name], row) for row in self.source_rows(name)]
        return self._originals[name]

    def as_they_are(self, name: str) -> list[Expected]:
        """Return what the target must hold of a table whose rows arrive as they are but for ids."""
        table, ids = TABLES[name], self.sides.ids
        return [
            Expected(without_unknown(table, original, source, ids), original, Rule.REFERENCE)
            for original, source in self.pairs(name)
        ]

    def changed(
        self, name: str, change: Callable[[Row], Mapping[str, Any]], rule: Rule = Rule.FITTED
    ) -> list[Expected]:
        """Return the rows of a table with what ``change`` says of each."""
        return [
            Expected({**planned_row.row, **change(planned_row.row)}, planned_row.origin, rule)
            for planned_row in self.as_they_are(name)
        ]

    def leaves_out(self, row: Row) -> bool:
        """Return whether the import leaves out the object of a row as the archive has it."""
        return self.left_out.holds(self.kind, row)

    @property
    def is_read_over_rest(self) -> bool:
        """Whether the target was read through MLflow's API, which does not show everything."""
        return bool(self.sides.target.newest_export.source.get("kind") == "rest")

    def pairs(self, name: str) -> Iterator[tuple[Row, Row]]:
        """Yield the rows of a table with the ids of the target, each with the row as the archive has it."""
        return zip(self.originals(name), self.source_rows(name), strict=True)

    def tags(
        self,
        name: str,
        owner: Mapping[str, Any],
        tags: Mapping[str, Any],
        fit: Callable[[str], str] = str,
        columns: Mapping[str, Any] | None = None,
    ) -> Iterator[Expected]:
        """Yield rows of a table of tags or params of one object; ``fit`` makes of a key of the archive the target's.

        ``columns`` are further columns of each row.
        """
        origins = {
            fit(row["key"]): row
            for row in self.originals(name)
            if all(row[column] == value for column, value in owner.items())
        }
        excused = self._excused(name, owner, tags)
        for key, value in {**tags, **excused}.items():
            rule = Rule.REFERENCE if key in _REFERRING else Rule.FITTED
            yield Expected({**owner, **(columns or {}), "key": key, "value": value}, origins.get(key), rule)

    def _excused(self, name: str, owner: Mapping[str, Any], tags: Mapping[str, Any]) -> dict[str, Excused]:
        """Return the tags by which an object of the target came with an earlier export, which it keeps."""
        if EXPORTED not in tags:
            return {}
        rows = (row for row in self.target_rows(name) if owner.items() <= row.items())
        own_tags = {row["key"]: row["value"] for row in rows}
        if not _came_earlier(own_tags, tags):
            return {}
        return {key: Excused(Rule.EARLIER_EXPORT) for key in OF_THE_EXPORT & tags.keys() & own_tags.keys()}

    def _mapped(self, table: Table, row: Row) -> Row:
        target = mapped(table, row, self.sides.ids)
        if table.entity == BY_ROW and is_named(IDENTITIES[self.kind]):
            return target | self._named_owner(row)
        if is_named(table):
            return target | self.named(row) | self._number(row)
        if self._is_absent(table, row):
            target[table.owner[0]] = f"{_ABSENT}{row[table.owner[0]]}"
        if "workspace" in target and table.entity != WORKSPACE:
            target["workspace"] = self.workspace
        return target

    def _is_absent(self, table: Table, row: Row) -> bool:
        """Return whether a row belongs to an object by an id that the target does not know."""
        has_id = self.kind in _WITH_IDS and table.entity == self.kind
        return has_id and row[table.owner[0]] not in self.sides.ids.of(self.kind)

    def _named_owner(self, row: Row) -> dict[str, Any]:
        """Return the owner of a row that belongs to something with a name, and the path where the owner numbers it."""
        owner = {"owner_id": self._target_owners.get(row["owner_id"], row["owner_id"])}
        if self.kind == REGISTERED_MODEL and "path" in row:
            owner["path"] = self._path(row)
        return owner

    def _number(self, row: Row) -> dict[str, int]:
        """Return the number of a version, or of the version that an alias names; nothing for any further row."""
        if self.kind != REGISTERED_MODEL or "version" not in row:
            return {}
        return {"version": self.sides.versions.number(named_owner(row["name"], row["workspace"]), row["version"])}

    def _path(self, row: Row) -> str:
        """Return the path of a file of a version: it begins with the number."""
        number, mark, rest = row["path"].partition("/")
        if not (mark and number.isdecimal()):
            return str(row["path"])
        return f"{self.sides.versions.number(row['owner_id'], int(number))}/{rest}"

    @cached_property
    def _target_owners(self) -> dict[str, str]:
        identity = IDENTITIES[self.kind]
        return {owner_id(identity, source): owner_id(identity, row) for row, source in self.pairs(identity.name)}

    def named(self, row: Row) -> dict[str, str]:
        """Return name and workspace of something that has a name in a workspace."""
        name = self.context.prefixed(row["name"], self.kind)
        if self.kind == REGISTERED_MODEL:
            name = self.context.model_name(row["name"], row["workspace"])
        return {"name": name, "workspace": self.workspace}


def _came_earlier(target_tags: Mapping[str, Any], tags: Mapping[str, Any]) -> bool:
    """Return whether the tags of the target tell, with all that tells of its moment, of an export before that one."""
    seconds = target_tags.get(EXPORTED) or ""
    if not (seconds.isascii() and seconds.isdecimal() and int(seconds) < int(tags[EXPORTED])):
        return False
    return moment_tags(int(seconds)).items() <= target_tags.items()
