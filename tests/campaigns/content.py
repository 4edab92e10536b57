"""What an archive holds, with the ids of its first source, so that two imports of one archive can be compared.

An import gives new ids and says in source tags what they were. Here every id is put back, and what only the target's
clock and numbering decide is left out: after that two imports of the same archive hold equal rows, whatever happened
on the way, or one of them is wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX, SOURCE_EXPERIMENT_ID, SOURCE_RUN_ID
from mlflow_archive.kinds import IDENTITIES, TABLES
from mlflow_archive.reader.archive import Archive, open_archive
from tests.support.reading import bits, plain_rows

Row = tuple[tuple[str, Any], ...]

_SOURCE_MODEL_ID: Final = f"{PREFIX}logged_model.model_id"
_NOT_CONTENT: Final = frozenset({"blobs", "fingerprints", "workspaces"})
_OF_THE_TARGET: Final = frozenset(
    {
        "artifact_location",
        "artifact_uri",
        "association_id",
        "created_time",
        "created_timestamp",
        "creation_time",
        "creation_timestamp",
        "dataset_uuid",
        "db_payload_generation",
        "deleted_time",
        "input_uuid",
        "last_update_time",
        "last_updated_time",
        "last_updated_timestamp",
        "storage_location",
    }
)
"""Columns that the target's clock, its numbering and its place decide."""

_ID: Final = re.compile(r"(?:m-)?[0-9a-f]{32}")
_PLACE: Final = re.compile(r"(mlflow-artifacts:/)(\d+)(?=/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Rows by table, how many there are of each, and of each kind how many objects have each id of the source."""

    rows: Mapping[str, Counter[Row]]
    objects: Mapping[str, Counter[str]]

    @property
    def doubles(self) -> Counter[str]:
        """Of each kind the number of objects that there are more than once."""
        numbers = {kind: sum(count - 1 for count in owners.values()) for kind, owners in self.objects.items()}
        return Counter({kind: number for kind, number in numbers.items() if number})

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each table has, without those that only an import adds."""
        return {
            name: sum(number for row, number in rows.items() if not _is_added(row)) for name, rows in self.rows.items()
        }


def _is_added(row: Row) -> bool:
    """Return whether a row is a source tag, or stands for a version that is deleted, which no API shows."""
    fields = dict(row)
    key = str(fields.get("key"))
    return key.startswith((PREFIX, OWN_PREFIX)) or fields.get("current_stage") == "Deleted_Internal"


def read_content(path: Path) -> Content:
    """Read an archive that holds a source or what an import of it made. Raises ArchiveError."""
    with open_archive(path) as archive:
        names = _Names(archive)
        rows = {
            name: Counter(names.put_back(row) for row in plain_rows(archive.table(name)))
            for name in TABLES
            if name not in _NOT_CONTENT
        }
    objects = {}
    for kind, identity in IDENTITIES.items():
        if identity.name in rows:
            columns = identity.owner
            objects[kind] = Counter(
                "/".join(str(dict(row)[column]) for column in columns)
                for row, number in rows[identity.name].items()
                for _ in range(number)
            )
    return Content(rows=rows, objects=objects)


class _Names:
    """The ids of the source of what lies in an archive."""

    def __init__(self, archive: Archive) -> None:
        self._experiments = _tagged(archive, "experiment_tags", "experiment_id", SOURCE_EXPERIMENT_ID)
        self._ids = _tagged(archive, "tags", "run_id", SOURCE_RUN_ID)
        self._ids |= _tagged(archive, "logged_model_tags", "model_id", _SOURCE_MODEL_ID)

    def put_back(self, row: Mapping[str, Any]) -> Row:
        return tuple(
            (column, self._value(column, value)) for column, value in row.items() if column not in _OF_THE_TARGET
        )

    def _value(self, column: str, value: Any) -> Any:
        if isinstance(value, float):
            return bits(value)
        if not isinstance(value, str):
            return value
        if column == "experiment_id":
            return self._experiments.get(value, value)
        text = _ID.sub(lambda match: self._ids.get(match[0], match[0]), value)
        return _PLACE.sub(lambda match: match[1] + self._experiments.get(match[2], match[2]), text)


def _tagged(archive: Archive, table: str, owner: str, key: str) -> dict[str, str]:
    rows = plain_rows(archive.table(table))
    return {row[owner]: row["value"] for row in rows if row["key"] == key}


def differences_of(expected: Content, content: Content) -> Iterator[str]:
    """Yield a line for each row that only one side has: ``-`` what is missing, ``+`` what is too much."""
    for name, rows in expected.rows.items():
        for sign, surplus in (("-", rows - content.rows[name]), ("+", content.rows[name] - rows)):
            for row, number in sorted(surplus.items(), key=repr):
                fields = ", ".join(f"{column}={value!s:.60}" for column, value in row if value is not None)
                yield f"{sign}{number} {name}: {fields}"
