"""The engine of the writers of small kinds: find an object, make it, complete it, report it, or do none in a dry run.

A kind says how its objects are found in the target and by which request one is made; all else is said here, once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.format.source_tags import object_source_tags
from mlflow_archive.kinds import TABLES, owner_id
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.equals import Equals
from mlflow_archive.sinks.replay.writing.failures import is_about_one_item, once
from mlflow_archive.sinks.replay.writing.fitting import Fitter, plain_tags
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

Tags = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRows:
    """What a chunk holds of one object: rows by table, and files; the rows of ``table`` are the object itself."""

    source_id: str
    table: str
    rows: Mapping[str, Sequence[Row]]
    files: Sequence[ArtifactFile] = ()

    @property
    def row(self) -> Row:
        """The row of the object itself. Raises ItemError where there are only rows of what belongs to it."""
        for row in self.rows.get(self.table, ()):
            return row
        kind = (TABLES[self.table].entity or "").replace("_", " ")
        raise ItemError(f"there are rows of {kind} {self.source_id} but not the {kind} itself")

    def of(self, table: str) -> Sequence[Row]:
        """Return the rows of a table."""
        return self.rows.get(table, ())

    def tags(self, table: str) -> dict[str, str | None]:
        """Return the rows of a table of tags."""
        return {row["key"]: row["value"] for row in self.of(table)}

    def version_tags(self, table: str) -> Mapping[Any, dict[str, str | None]]:
        """Return the rows of a table of tags of versions, by version; a version without tags has none."""
        tags = defaultdict[Any, dict[str, str | None]](dict)
        for row in self.of(table):
            tags[row["version"]][row["key"]] = row["value"]
        return tags


def objects_of(chunk: Chunk, table: str) -> Iterator[ObjectRows]:
    """Yield the objects of a chunk that are rows of a table, each with the rows that belong to it."""
    rows_by_owner: dict[str, dict[str, list[Row]]] = {}
    of_kind = (part for part in TABLES.values() if part.entity == TABLES[table].entity)
    for part in sorted(of_kind, key=lambda part: part.name != table):
        for row in rows_of(chunk, part.name):
            rows_by_owner.setdefault(owner_id(part, row), {}).setdefault(part.name, []).append(row)
    files: dict[str, list[ArtifactFile]] = {}
    for file in chunk.artifacts:
        if file.owner_kind == TABLES[table].entity:
            files.setdefault(file.owner_id, []).append(file)
    for source_id, rows in rows_by_owner.items():
        yield ObjectRows(source_id=source_id, table=table, rows=rows, files=files.get(source_id, ()))


class ObjectWriter(KindWriter):
    """Writes the objects of one kind: the rows of ``table``, with what belongs to them.

    ``code`` is that of their refusals; ``receipt_columns`` cannot be set by the API, so the receipt holds them. ``api``
    is the path that creates one, ``answer`` where its response has what was created, ``id_field`` its id in that. What
    the target has of an object is always as its API shows it there.
    """

    table: ClassVar[str]
    code: ClassVar[str]
    receipt_columns: ClassVar[tuple[str, ...]] = ()
    api: ClassVar[str]
    answer: ClassVar[str]
    id_field: ClassVar[str]

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def is_due(self, rows: ObjectRows) -> bool:
        """Return whether an object is to be written. One that is not has been reported."""
        del rows
        return True

    def find(self, rows: ObjectRows) -> Any:
        """Return what the target has of an object, None where it is not there."""
        raise NotImplementedError

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        """Return what to send to create an object; what is None is left out. Raises ItemError where that cannot be."""
        raise NotImplementedError

    def create(self, body: Mapping[str, Any]) -> Any:
        """Create an object by one request, and return it."""
        return self._context.api.post(self.api, body, idempotent=False)[self.answer]

    def make(self, rows: ObjectRows) -> Any:
        """Create an object, once; one of its name that somebody else has made meanwhile stands for it."""
        body = _without_nulls(self.body(rows))
        return once(lambda: self.create(body), lambda: self.find(rows), by_name=True)

    def is_creatable(self, rows: ObjectRows) -> bool:
        """Return whether an object that is not there is to be created. One that is not has been reported."""
        del rows
        return True

    def find_or_make(self, rows: ObjectRows) -> tuple[Any, bool] | None:
        """Return an object of the target, None for one that a dry run would make, and whether it is new.

        None in place of both for one that is not creatable.
        """
        existing = self.find(rows)
        if existing is not None:
            return existing, False
        if not self.is_creatable(rows):
            return None
        return None if self._context.options.dry_run else self.make(rows), True

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        """Write what an object lacks, and report what it cannot have; return whether it lacked anything.

        ``existing`` is None for one that a dry run would make.
        """
        del rows, existing, is_new
        return False

    def target_id(self, rows: ObjectRows, existing: Any) -> str | None:
        """Return the id of an object of the target; None for one that a dry run would make."""
        del rows
        return None if existing is None else str(existing[self.id_field])

    def write(self, chunk: Chunk) -> None:
        """Write the objects of a chunk that the target does not have, and what those lack that it has."""
        for rows in self.objects(chunk):
            with self.refusing(rows):
                if self.is_due(rows):
                    self.write_one(rows)

    def objects(self, chunk: Chunk) -> Iterable[ObjectRows]:
        """Return the objects of a chunk, in the order in which they are written."""
        return objects_of(chunk, self.table)

    def write_one(self, rows: ObjectRows) -> None:
        """Find or make an object and complete it, with an outcome and an id in the receipt."""
        receipt, [kind] = self._context.receipt, self.kinds
        result = self.find_or_make(rows)
        if result is None:
            return
        existing, is_new = result
        target_id = self.target_id(rows, existing)
        receipt.mapped(kind, rows.source_id, target_id)
        if is_new and target_id is not None and not self._context.options.dry_run:
            receipt.made(kind, target_id)
        receipt.kept(kind, rows.source_id, {name: rows.row[name] for name in self.receipt_columns})
        changed = self.complete(rows, existing, is_new=is_new)
        receipt.done("created" if is_new else "updated" if changed else "skipped", kind)

    def refusing(self, rows: ObjectRows, path: str = "") -> AbstractContextManager[None]:
        """Refuse an object, or what lies at ``path`` of it, where what is done within fails because of it."""
        [kind] = self.kinds
        return self._context.refusing(kind, rows.source_id, self.code, path)

    def part(self, rows: ObjectRows, path: str, write: Callable[[], bool]) -> bool:
        """Write a part of an object, or refuse it alone; return whether anything was missing."""
        changed = False
        with self.refusing(rows, path):
            changed |= write()
        return changed

    def make_with(self, rows: ObjectRows, path: str, extra: Any, make: Callable[[Any], Any]) -> Any:
        """Make something with what the target may refuse of it, as MLflow looks up the hosts of icons, or without.

        Then ``extra`` alone is refused, which lies at ``path``.
        """
        try:
            return make(extra)
        except ServerError as exc:
            if not extra or not is_about_one_item(exc):
                raise
            result, [kind] = make(None), self.kinds
            self._context.refuse(kind, rows.source_id, self.code, exc, path=path)
            return result

    def target_tags(
        self, rows: ObjectRows, tags: Tags, facts: Mapping[str, object], *, group: str, words: str = "", limit: int
    ) -> dict[str, str]:
        """Return the tags that something gets: its own ``tags`` and source tags of its ``facts``, cut to a limit.

        ``words`` name such a tag in the receipt.
        """
        context, all_tags = self._context, plain_tags(tags)
        if context.options.source_tags:
            all_tags |= object_source_tags(group, facts, tags, export=context.export_of(rows.row))
        fitter = Fitter(context.options.limits, context.receipt, rows.source_id)
        return fitter.tags(words or f"{group} tag", all_tags, limit)

    def send(self, path: str, body: Mapping[str, Any]) -> bool:
        """POST something that is missing, unless in a dry run; return that it was missing."""
        if not self._context.options.dry_run:
            self._context.api.post(path, body)
        return True

    def update(self, path: str, body: Mapping[str, Any]) -> bool:
        """PATCH something that differs, unless in a dry run; return that it differed."""
        if not self._context.options.dry_run:
            self._context.api.patch(path, body)
        return True

    def add_missing(self, path: str, body: Mapping[str, Any], look: Callable[[], Any]) -> bool:
        """POST something that has no id, once and unless in a dry run, if ``look`` finds none; return whether so."""
        if look() is not None:
            return False
        if not self._context.options.dry_run:
            once(lambda: self._context.api.post(path, body, idempotent=False), look)
        return True


class EqualObjectWriter(ObjectWriter):
    """Writes objects that have neither a name nor a tag to be found by: an equal one stands for each."""

    def __init__(self, context: ReplayContext) -> None:
        super().__init__(context)
        self._equals = Equals(lambda: ((self.key(entry), str(entry[self.id_field])) for entry in self.load()))

    def load(self) -> Iterable[Any]:
        """Yield the objects of the target, in a fixed order."""
        raise NotImplementedError

    def key(self, fields: Mapping[str, Any]) -> Hashable:
        """Return what an object is, from what the API shows of it or from the body that creates it."""
        raise NotImplementedError

    def find_or_make(self, rows: ObjectRows) -> tuple[Any, bool]:
        body = _without_nulls(self.body(rows))
        create = None if self._context.options.dry_run else lambda: str(self.create(body)[self.id_field])
        target_id, is_new = self._equals.take_or_create(self.key(body), create)
        return (None if target_id is None else {self.id_field: target_id}), is_new


def _without_nulls(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
