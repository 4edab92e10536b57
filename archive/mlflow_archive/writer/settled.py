"""Which gaps of an archive are no more, after an export that adds to it and left nothing out.

A gap of an object goes when a later export holds the object. What was told of a kind as a whole, or of the source, no
object goes with: the export that looked again, and did not find it, says so in the manifest.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import SOURCE, UNKNOWN_FIELD, UNKNOWN_ROWS
from mlflow_archive.kinds import INCREMENTAL, TABLES
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.base import Base

_NOT_READ: Final = frozenset({UNKNOWN_FIELD, UNKNOWN_ROWS})
"""Codes of values that are not in the archive, whether or not a later version reads them in other objects."""


def settled(
    base: Base, new_gaps: Collection[Gap], selection: Selection, *, rechecked: bool
) -> tuple[tuple[str, str], ...]:
    """Return owner kind and owner id of the gaps of ``base`` that are no more, sorted.

    ``new_gaps`` are the gaps of no object that the export met, whether or not the archive tells of them already. Of
    runs, logged models and traces that an export finds unchanged it reads nothing, unless it ``rechecked`` all: what
    they hold in fields that were not known is still not in the archive, and stays told.
    """
    if replace(selection, unknown_tables=False) != Selection():
        return ()
    subjects = set(map(_subject, new_gaps))
    return tuple(
        sorted(
            {
                (gap.owner_kind, gap.owner_id)
                for gap in base.gaps_of_no_object()
                if _subject(gap) not in subjects and (rechecked or not _is_unread(gap))
            }
        )
    )


def _subject(gap: Gap) -> Gap | str:
    """Return by what a gap is met again: what it names of the source, whatever it says of that, else all it says."""
    return gap.owner_id if gap.owner_kind == SOURCE else gap


def _is_unread(gap: Gap) -> bool:
    return gap.owner_kind == SOURCE and gap.code in _NOT_READ and _KIND_OF.get(gap.owner_id) in INCREMENTAL


_KIND_OF: Final = {
    **{column.database_column.partition(".")[0]: table.entity for table in TABLES.values() for column in table.columns},
    **{kind: kind for kind in INCREMENTAL},
}
"""The kind that a gap of the source names: itself, or by a table of MLflow's database."""
