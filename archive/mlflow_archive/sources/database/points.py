"""Points of runs with their texts coded, each once, as a writer of archives keeps them, and how many there are."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES
from mlflow_archive.sources.database.converting import in_one_piece
from mlflow_archive.sources.database.snapshot import Batch

_CODED: Final = pa.dictionary(pa.int32(), pa.string())
_PLAIN: Final = TABLES["metrics"].schema
_TEXTS: Final = frozenset(field.name for field in _PLAIN if field.type == pa.string())
_SCHEMA: Final = pa.schema([field.with_type(_CODED) if field.name in _TEXTS else field for field in _PLAIN])
_COUNTS: Final = pa.schema([("run_id", pa.string()), ("key", pa.string()), ("value", pa.int64())])


def quick_points(batch: Batch) -> pa.Table | None:
    """Return the points of a batch, None where they must be looked at one by one."""
    arrays = []
    for field in _SCHEMA:
        values = batch.get(field.name)
        if values is None and field.nullable:
            arrays.append(pa.nulls(len(batch["key"]), field.type))
            continue
        if isinstance(values, list | None) or values.null_count:
            return None
        # Texts are coded, which makes an array of its own. Numbers are copied: a driver's arrays have room to grow.
        is_taken = field.name in _TEXTS and values.num_chunks == 1
        array = _quick(values.chunk(0) if is_taken else in_one_piece(values), field.type)
        if array is None:
            return None
        arrays.append(array)
    return pa.table(arrays, schema=_SCHEMA)


def coded_points(rows: pa.Table) -> pa.Table:
    """Return plain rows with their texts coded."""
    return pa.table([rows[f.name].dictionary_encode() if f.name in _TEXTS else rows[f.name] for f in _SCHEMA], _SCHEMA)


def plain_points(rows: pa.Table) -> pa.Table:
    """Return rows of the table's own schema."""
    return rows.cast(_PLAIN)


class PointCounts:
    """Counts points while they pass."""

    def __init__(self) -> None:
        self._counts: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Count coded rows."""
        for batch in rows.to_batches():
            runs, keys = batch["run_id"], batch["key"]
            places = pc.add(pc.multiply(runs.indices.cast(pa.int64()), len(keys.dictionary)), keys.indices)
            counted = pc.value_counts(places)
            numbers = pc.divide(counted.field(0), max(1, len(keys.dictionary)))
            rest = pc.subtract(counted.field(0), pc.multiply(numbers, len(keys.dictionary)))
            texts = (runs.dictionary.take(numbers), keys.dictionary.take(rest))
            self._counts.append(pa.table([*texts, counted.field(1)], schema=_COUNTS))

    def rows(self) -> pa.Table:
        """Return a row with ``run_id``, ``key`` and ``value``, the number of points, for each metric."""
        counts = pa.concat_tables([_COUNTS.empty_table(), *self._counts])
        summed = counts.group_by(["run_id", "key"], use_threads=False).aggregate([("value", "sum")])
        return summed.select(["run_id", "key", "value_sum"]).rename_columns(_COUNTS.names)


def _quick(array: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Return a column without NULL as the archive has it, None where that is not said of all of it at once."""
    held_type = array.type
    if kind == _CODED:
        return _quick_texts(array)
    if kind == pa.float64():
        return array.cast(kind) if pa.types.is_floating(held_type) else None
    if pa.types.is_integer(held_type) and not pa.types.is_uint64(held_type):
        return array.cast(pa.int64()).cast(kind)
    return None


def _quick_texts(array: pa.Array) -> pa.DictionaryArray | None:
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = array.dictionary_encode()
    if not pa.types.is_dictionary(array.type):
        return None
    try:
        texts = array.dictionary.cast(pa.string())
        texts.validate(full=True)
    except pa.ArrowInvalid:  # not UTF-8
        return None
    return pa.DictionaryArray.from_arrays(array.indices, texts)
