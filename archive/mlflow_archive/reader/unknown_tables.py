"""Tables of a database that an archive carries as they are; of each those rows count that came by the newest export."""

from __future__ import annotations

import pyarrow as pa

from mlflow_archive.format.manifest import Member
from mlflow_archive.format.unknown_tables import database_table, schema_of, table_of
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.stored.footer import check_footer
from mlflow_archive.reader.stored.parts import Part


def unknown_tables(archive: Archive) -> dict[str, Member]:
    """Return the part of each such table, by its name in the database."""
    members = sorted(archive.manifest.members, key=lambda member: member.export)
    return {name: member for member in members if (name := database_table(member)) is not None}


def read_unknown_table(archive: Archive, member: Member) -> pa.Table:
    """Return the rows of such a part. Raises DamagedError."""
    table = table_of(database_table(member) or "", schema_of(member))
    file = archive.open_member(member)
    check_footer(file, member)
    groups = list(Part(file, table).groups(None))
    return pa.concat_tables(groups) if groups else table.schema.empty_table()
