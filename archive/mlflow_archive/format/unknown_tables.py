"""Tables of MLflow's database that this version does not know, as an archive carries them: as they are.

A part of one is a member of kind ``table`` whose table is ``unknown:NAME``, and which states its columns. Readers that
know nothing of that ignore the table, as any that they do not know. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import Column, Table

COLUMNS: Final = "columns"
"""Key of such a member in the manifest: a list of pairs of a name and a type."""

_PREFIX: Final = "unknown:"
_TYPES: Final = MappingProxyType(
    {"bool": pa.bool_(), "int64": pa.int64(), "double": pa.float64(), "string": pa.string(), "binary": pa.binary()}
)
_SECRET_WORDS: Final = ("secret", "token", "password", "hash", "encrypted", "wrapped", "key_value")


def is_withheld(column: str) -> bool:
    """Return whether a column is never carried: its name says that it may hold a secret.

    >>> is_withheld("wrapped_DEK"), is_withheld("tokens"), is_withheld("name")
    (True, True, False)
    """
    return any(word in column.lower() for word in _SECRET_WORDS)


def member_table(name: str) -> str:
    """Return what the manifest calls an unknown table of the database."""
    return _PREFIX + name


def database_table(member: Member) -> str | None:
    """Return the name in the database of the unknown table that a member is a part of, None for any other member."""
    table = member.table or ""
    return table.removeprefix(_PREFIX) if member.kind == "table" and table.startswith(_PREFIX) else None


def table_of(name: str, schema: pa.Schema) -> Table:
    """Return the record of an unknown table with these columns; it has no key."""
    columns = tuple(
        Column(name=field.name, type=field.type, nullable=True, origin=f"{name}.{field.name}", description="")
        for field in schema
    )
    return Table(name=member_table(name), entity=None, owner=(), key=(), columns=columns, description="", unique=False)


def stated_columns(schema: pa.Schema) -> Mapping[str, Any]:
    """Return what a member states of its columns. Raises KeyError for a type that is not taken."""
    words = {kind: word for word, kind in _TYPES.items()}
    return {COLUMNS: [[field.name, words[field.type]] for field in schema]}


def schema_of(member: Member) -> pa.Schema:
    """Return the columns that a member states. Raises DamagedError (E031) where that, or its name, makes no sense."""
    pairs = member.unknown.get(COLUMNS)
    try:
        str(member.table).encode()  # half of a surrogate pair is no name
        schema = pa.schema([(name, _TYPES[word]) for name, word in pairs])  # type: ignore[union-attr]
    except (TypeError, ValueError, KeyError, pa.ArrowException) as error:
        message = f"{member.path}: the manifest states no columns of an unknown table: {pairs!r:.60}"
        raise DamagedError(message, code="E031", member=member.path) from error
    if not schema.names or len(set(schema.names)) < len(schema.names):
        message = f"{member.path}: the manifest states no columns, or one twice"
        raise DamagedError(message, code="E031", member=member.path)
    return schema
