"""Tables of a database that an archive carries as they are; of each those rows count that came by the newest export."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.unknown_tables import database_table, schema_of, table_of
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.stored.footer import check_footer
from mlflow_archive.reader.stored.parts import Part


def unknown_tables(archive: Archive) -> dict[str, Member]:
    """Return the part of each such table, by its name in the database. Raises DamagedError (E031) where it has two."""
    newest: dict[str, Member] = {}
    for member in sorted(archive.manifest.members, key=lambda member: member.export):
        name = database_table(member)
        if name is None:
            continue
        if name in newest and newest[name].export == member.export:
            message = f"{member.path}: {newest[name].path} is a part of {member.table} in the same export, expected one"
            raise DamagedError(message, code="E031", member=member.path)
        newest[name] = member
    return newest


def unknown_groups(archive: Archive, member: Member) -> Iterator[pa.Table]:
    """Yield the row groups of such a part. Raises DamagedError."""
    table = table_of(database_table(member) or "", schema_of(member))
    file = archive.open_member(member)
    check_footer(file, member)
    yield from Part(file, table).groups(None)


def read_unknown_table(archive: Archive, member: Member) -> pa.Table:
    """Return the rows of such a part. Raises DamagedError."""
    return pa.concat_tables([schema_of(member).empty_table(), *unknown_groups(archive, member)])
