"""What a restore said that it would change: differences of that kind are told apart from others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.format.nul_characters import NUL, SHOWN, without_nul
from mlflow_archive.format.source_tags import shorten
from mlflow_archive.kinds import Table

if TYPE_CHECKING:
    from mlflow_archive.api.differences import FieldChange, ObjectChange

_HELD_OTHERWISE: Final = (
    "infinities_as_largest",
    "negative_zeros_as_zero",
    "nan_as_null",
    "equal_points",
    "texts_with_nul",
)
"""Counts of a restore of values that its database holds otherwise, and of points that it holds once."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the receipt of a restore announces."""

    receipt: Mapping[str, Any]

    @property
    def numbers(self) -> Mapping[str, int]:
        """How many values the database holds otherwise, by what became of them."""
        counts = self.receipt.get("counts", {})
        return {name: counts[name] for name in _HELD_OTHERWISE if counts.get(name)}

    def as_stored(self, table: Table, rows: pa.Table) -> pa.Table:
        """Return rows with values as the database holds them, if the restore said that some change."""
        if not self.numbers:
            return rows
        from mlflow_archive.sinks.restore.inverting import storable_value, without_equal_points  # noqa: PLC0415

        if "texts_with_nul" in self.numbers:
            rows, _ = without_nul(table.name, rows)
        if table.name == "metrics" and rows.column_names == list(table.column_names):
            rows = without_equal_points(rows)
        for at, field in enumerate(rows.schema):
            if field.type == pa.float64():
                values = rows[field.name]
                numbers = pc.add(pc.if_else(pc.is_nan(values), values, storable_value(values)), 0.0)
                if "nan_as_null" in self.numbers and table.name != "metrics":
                    numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
                rows = rows.set_column(at, field, numbers)
        return rows

    def split(self, change: ObjectChange) -> Iterator[tuple[ObjectChange, bool]]:
        """Yield what of a change was announced, and what was not, each with whether it was."""
        announced = [field for field in change.fields if self._holds(change, field)]
        rest = [field for field in change.fields if field not in announced]
        if rest or not change.fields:
            yield replace(change, fields=rest), False
        if announced:
            yield replace(change, fields=announced), True

    def _holds(self, change: ObjectChange, field: FieldChange) -> bool:
        if field.table == "gaps" and field.after is None:
            return bool(self.receipt.get("counts", {}).get("gaps_in_source"))
        if f"{field.table}.{field.field}" in self.receipt.get("filled", {}):
            return field.before is None
        entries = (entry for entry in self.receipt.get("rewritten", ()) if entry["table"] == field.table)
        return any(_is_of(entry, change, field) for entry in entries)


def _is_of(entry: Mapping[str, Any], change: ObjectChange, field: FieldChange) -> bool:
    """Return whether an entry of a receipt says of what a change is about that it was cut, and it was cut so."""
    names = {change.id, *map(str, field.key.values())}
    is_named = all(str(value).replace(NUL, SHOWN) in names for value in entry["key"].values())
    is_cut = isinstance(field.after, str) and shorten(str(field.before), len(field.after)) == field.after
    original = str(entry["original"]).replace(NUL, SHOWN)
    return is_named and is_cut and entry["column"] == field.field and original == field.before
