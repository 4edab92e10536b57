"""An archive as a source of what the rules leave: ``redact`` copies it, and so does ``export --redact``.

Whatever is read goes through here: rows, artifacts and their paths, gaps, fingerprints, and what a manifest states.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any, BinaryIO

import pyarrow as pa

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import (
    ArtifactFile,
    ArtifactUnreadableError,
    Chunk,
    Gap,
    Known,
    Shard,
    gap_table,
    nothing_known,
)
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.fingerprint import fingerprints_of
from mlflow_archive.format.gaps import GAPS, SOURCE, UNKNOWN_ROWS
from mlflow_archive.kinds import BY_ROW, IDENTITIES, TABLES
from mlflow_archive.reader.archive import Archive, owner_ids
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.redacting.erasing import Eraser, find_erased
from mlflow_archive.redacting.fingerprints import Fingerprints
from mlflow_archive.redacting.rules import STAND_IN, RedactionRules
from mlflow_archive.redacting.values import Redactor
from mlflow_archive.selecting.selection import Selection

_Owner = tuple[str, str]
"""Kind and id of an entity."""


@dataclass(slots=True)
class _Reading:
    """What is known of a shard while its chunks come: new names of its entities, and what their fingerprints need."""

    kind: str
    names: dict[_Owner, str] = field(default_factory=dict)
    fingerprints: Fingerprints = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprints = Fingerprints(self.kind)


class RedactedSource:
    """Reads all of an archive but what the rules take out. Closing it does not close the archive.

    ``key`` is that of pseudonyms. With ``adding`` entities are left out whose fingerprint the sink knows; each is read
    twice then, as a fingerprint is that of what stays. The reason of a gap, which may hold anything, becomes what its
    code means. Raises SelectionError where a rule needs one, and while it is read where a rule would
    make two keys one; ElsewhereError for a delta without its base.
    """

    def __init__(
        self, archive: Archive, rules: RedactionRules, key: bytes | None = None, *, adding: bool = False
    ) -> None:
        archive.require_whole("a redaction")
        self._archive, self._rules, self._adding = archive, rules, adding
        self._inner = ArchiveSource(archive)
        self._eraser = Eraser(find_erased(archive, rules))
        self._origin = dict(archive.newest_export.source)
        self._redactor = Redactor(rules, key, list(_texts(self._origin)))
        self._lock = Lock()
        self._gaps: set[Gap] = set()
        self.left_out_tables: dict[str, int] = {}

    @property
    def absent(self) -> tuple[str, ...]:
        """What the rules erase and the archive does not hold, such as ``run 4b1f…``."""
        return self._eraser.erased.absent

    def facts(self) -> SourceFacts:
        """Return where the archive was made from, as far as the rules leave that."""
        origin = self.stated_source()
        return SourceFacts(
            kind=origin["kind"],
            uri=origin["uri"],
            mlflow_version=origin.get("mlflow_version"),
            schema_revision=origin.get("schema_revision"),
            newer_schema=origin.get("newer_schema"),
            extra=origin.get("extra", {}),
        )

    @property
    def erased_ids(self) -> Mapping[str, Collection[str]]:
        """The ids of the objects that go, by kind."""
        return self._eraser.erased.owners

    @property
    def erased(self) -> dict[str, int]:
        """How many objects go, by kind."""
        return {kind: len(ids) for kind, ids in sorted(self._eraser.erased.owners.items())}

    @property
    def without_effect(self) -> list[str]:
        """Where the rules for values stand that found nothing in any table, once all was read: perhaps slips."""
        return [rule.place for rule in self._rules.values if rule.place not in self._redactor.effective]

    def stated_source(self) -> dict[str, Any]:
        """Return what a manifest may state of the source; more is known to be secret once all was read."""
        return {name: self._stated(value) for name, value in self._origin.items()}

    def _stated(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._stated(inner) for name, inner in value.items()}
        if not isinstance(value, str):
            return value
        return STAND_IN if value in self._redactor.holding else self._text(value)

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Plan all of the archive: what was selected was selected when it was made."""
        stage = 0
        for shard in self._inner.plan(Selection(), progress):
            stage = shard.stage
            yield shard
        yield Shard(name="gaps", stage=stage + 1, payload=self._remaining_gaps)

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        unchanged: frozenset[_Owner] = frozenset()
        if self._adding:
            unchanged = frozenset(
                owner
                for chunk in self._chunks(shard)
                if "fingerprints" in chunk.tables
                for owner in _agreeing(chunk.tables["fingerprints"], known)
            )
        for chunk in self._chunks(shard):
            yield _without(chunk, unchanged) if unchanged else chunk

    def close(self) -> None:
        self._inner.close()

    def _chunks(self, shard: Shard) -> Iterator[Chunk]:
        reading = _Reading(shard.kind)
        for chunk in self._inner.read(shard, nothing_known):
            yield self._redacted(chunk, reading)

    def _redacted(self, chunk: Chunk, reading: _Reading) -> Chunk:
        tables: dict[str, pa.Table] = {}
        for name, rows in chunk.tables.items():
            if TABLES[name].entity != BY_ROW:
                tables[name] = self._rows(name, rows, reading)
        artifacts = self._artifacts(chunk.artifacts, reading)
        reading.fingerprints.add(tables, artifacts)
        if "fingerprints" in chunk.tables:
            tables["fingerprints"] = self._fingerprints(chunk.tables["fingerprints"], reading)
        gaps = [Gap(**row) for row in chunk.tables["gaps"].to_pylist()] if "gaps" in chunk.tables else []
        with self._lock:
            self._gaps.update(gaps)
            self.left_out_tables |= {name: rows.num_rows for name, rows in chunk.unknown_tables.items()}
        staying = [*self._kept_gaps(gaps, reading.names), *map(_left_out, chunk.unknown_tables)]
        if staying:
            tables["gaps"] = gap_table(staying)
        return Chunk(tables=tables, artifacts=artifacts, complete=chunk.complete)

    def _rows(self, name: str, rows: pa.Table, reading: _Reading) -> pa.Table:
        table = TABLES[name]
        owners = self._eraser.erased.owners.get(table.entity or "", ())
        stay = self._eraser.rows(table, rows)
        changed = self._redactor.rows(table, stay)
        if table in IDENTITIES.values():
            before = (owner for owner in owner_ids(rows, table).to_pylist() if owner not in owners)
            after = owner_ids(changed, table).to_pylist()
            reading.names |= {(str(table.entity), old): new for old, new in zip(before, after, strict=True)}
        return changed

    def _owner(self, kind: str, owner: str, names: Mapping[_Owner, str]) -> str:
        """Return what an object is called now; one that has no row of its own as any text."""
        return names.get((kind, owner)) or self._text(owner)

    def _text(self, text: str) -> str:
        return self._redactor.text(self._eraser.text(text))

    def _artifacts(self, files: Sequence[ArtifactFile], reading: _Reading) -> list[ArtifactFile]:
        staying: dict[tuple[str, str, str], ArtifactFile] = {}
        for file in files:
            erased = self._eraser.erased.is_erased(file.owner_kind, file.owner_id)
            if erased or self._rules.drops_artifact(file.path):
                continue
            owner, path = self._owner(file.owner_kind, file.owner_id, reading.names), self._path(file.path)
            if (file.owner_kind, owner, path) in staying:
                raise SelectionError(
                    f"the rules give two artifacts of {file.owner_kind} {owner} the path {path}: use the action "
                    "pseudonym, which keeps them apart"
                )
            opened = partial(self._open, file)
            staying[file.owner_kind, owner, path] = replace(file, owner_id=owner, path=path, open=opened)
        return list(staying.values())

    def _path(self, path: str) -> str:
        """Return the path of an artifact. Raises SelectionError where rules would leave one that no file can have."""
        after = self._text(path)
        if after != path and any(part in ("", ".", "..") for part in after.split("/")):
            raise SelectionError(
                f"the rules would give an artifact the path {after!r}, under which no file can be written: use an "
                "action that leaves something of each part, or drop the artifact by [[artifacts]]"
            )
        return after

    @contextmanager
    def _open(self, file: ArtifactFile) -> Iterator[BinaryIO]:
        try:
            opened = file.open()
        except ArtifactUnreadableError as error:
            raise ArtifactUnreadableError(GAPS[error.code], code=error.code) from error
        with opened as stream:
            yield stream

    def _fingerprints(self, rows: pa.Table, reading: _Reading) -> pa.Table:
        """Return fingerprints of the entities that had one: one with gaps has none."""
        remaining: list[dict[str, str | None]] = []
        for kind, owner in zip(rows["owner_kind"].to_pylist(), rows["owner_id"].to_pylist(), strict=True):
            if not self._eraser.erased.is_erased(kind, owner):
                name = self._owner(kind, owner, reading.names)
                remaining.append(reading.fingerprints.of(name).row(kind, name))
        return pa.Table.from_pylist(remaining, schema=TABLES["fingerprints"].schema)

    def _kept_gaps(self, gaps: Iterable[Gap], names: Mapping[_Owner, str]) -> Iterator[Gap]:
        for gap in gaps:
            erased = self._eraser.erased.is_erased(gap.owner_kind, gap.owner_id)
            if not erased and not self._rules.drops_artifact(gap.path):
                owner = self._owner(gap.owner_kind, gap.owner_id, names)
                yield replace(gap, owner_id=owner, path=self._text(gap.path), reason=GAPS.get(gap.code, STAND_IN))

    def _remaining_gaps(self) -> Iterator[Chunk]:
        """Yield the gaps of no object that has a row: those of the source, and of what could not be read at all."""
        gaps = (Gap(**row) for rows in self._archive.batches("gaps") for row in rows.to_pylist())
        staying = list(self._kept_gaps((gap for gap in gaps if gap not in self._gaps), {}))
        if staying:
            yield Chunk(tables={"gaps": gap_table(staying)})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _left_out(name: str) -> Gap:
    """Return the gap for a table that no version knows: nobody can say what in it a rule is for."""
    return Gap(owner_kind=SOURCE, owner_id=name, path="", code=UNKNOWN_ROWS, reason=GAPS[UNKNOWN_ROWS])


def _agreeing(fingerprints: pa.Table, known: Known) -> Iterator[_Owner]:
    for kind, owner, value in fingerprints_of(fingerprints):
        if value.agrees_with(known(kind, owner)):
            yield kind, owner


def _without(chunk: Chunk, unchanged: Collection[_Owner]) -> Chunk:
    """Return a chunk without the entities that the sink holds as they are."""
    tables = {}
    for name, rows in chunk.tables.items():
        table = TABLES[name]
        names = owner_ids(rows, table).to_pylist()
        kinds = rows["owner_kind"].to_pylist() if table.entity == BY_ROW else [table.entity] * len(names)
        stay = [owner not in unchanged for owner in zip(kinds, names, strict=True)]
        tables[name] = rows.filter(pa.array(stay, pa.bool_()))
    artifacts = [file for file in chunk.artifacts if (file.owner_kind, file.owner_id) not in unchanged]
    return replace(chunk, tables=tables, artifacts=artifacts)
