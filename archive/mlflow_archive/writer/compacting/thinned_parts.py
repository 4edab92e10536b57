"""The tables of a group of exports as those of one: the rows of all of them that stay, sorted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa

from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES, Table
from mlflow_archive.reader.archive import Archive, without
from mlflow_archive.reader.stored.parts import Part
from mlflow_archive.reader.stored.recent import RecentGroups
from mlflow_archive.storage.members import check_sha256
from mlflow_archive.writer.compacting.survey import GroupSurvey
from mlflow_archive.writer.merge import Piece


def pieces_of(archive: Archive, surveyed: GroupSurvey) -> dict[str, list[Piece]]:
    """Return, by table, the row groups of the parts that are merged. Each part must have its SHA-256 (E012)."""
    recent = RecentGroups()
    return {
        name: [
            piece for member in parts for piece in _pieces(archive, TABLES[name], member, surveyed.group.last, recent)
        ]
        for name, parts in surveyed.merged.items()
    }


def _pieces(archive: Archive, table: Table, member: Member, last: int, recent: RecentGroups) -> Iterator[Piece]:
    file = archive.open_member(member)
    check_sha256(file, file.sha256(), member.sha256)
    part = archive.open_part(member)
    newer = archive.superseding(table, member.export, last)
    for group in part.row_groups():
        yield Piece(
            low=group.key_min if group.key_min is not None else member.key_min or "",
            high=group.key_max if group.key_max is not None else member.key_max or "",
            nbytes=group.raw_size,
            stored=group.stored_size,
            load=partial(_load, recent, part, group.index, newer),
            run=member.path,
            number=group.index,
        )


def _load(recent: RecentGroups, part: Part, index: int, newer: dict[str, pa.Array]) -> pa.Table:
    return without(recent.group(part, index), part.table, newer)
