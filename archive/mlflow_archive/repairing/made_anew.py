"""Members that can be made anew without another copy: parts of the blob index, and parts of which every row decodes.

With the program and library that wrote them they come out byte for byte, which their hash proves.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive
from mlflow_archive.repairing.blob_index import LEVELS, rebuild_index, write_index
from mlflow_archive.storage.members import DirectoryMembers
from mlflow_archive.writer.destination import Destination
from mlflow_archive.writer.parts import WrittenPart, part_writer


def made_anew(archive: Archive, unsound: list[Member], place: Destination) -> Iterator[tuple[Member, WrittenPart]]:
    """Yield members with what was made of them below ``place.new_members``.

    Of the blob index that may be other bytes with the same rows.
    """
    for member in unsound:
        if member.table in TABLES and member.table != "blobs" and (part := _written_again(archive, member, place)):
            yield member, part
    yield from _rebuilt_index(archive, [member for member in unsound if member.table == "blobs"], place)


def _rebuilt_index(
    archive: Archive, of_index: list[Member], place: Destination
) -> Iterator[tuple[Member, WrittenPart]]:
    """Yield parts of the blob index, rebuilt from the labels of the packs of their export."""
    for export in sorted({member.export for member in of_index}):
        rows = rebuild_index(archive, export)
        for member in of_index:
            if member.export == export:
                yield member, write_index(place.files, place.new_members / member.path, rows, member)


def _written_again(archive: Archive, member: Member, place: Destination) -> WrittenPart | None:
    """Write a part again from its rows; None if some cannot be read, or it is another part then."""
    table = TABLES[member.table or ""]
    path = place.new_members / member.path
    try:
        for level in LEVELS:
            with part_writer(place.files, path, table, level=level) as part:
                for rows in archive.open_part(member).groups(None):
                    part.write(rows)
                written = part.finish()
            if written.sha256 == member.sha256:
                return written
    except DamagedError:
        return None
    place.files.remove(path)
    return None


def open_new_members(place: Destination) -> DirectoryMembers:
    """Open what was made; the caller closes it."""
    place.files.make_directory(place.new_members)
    return DirectoryMembers(place.new_members)
