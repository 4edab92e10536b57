"""Rows as canonical JSON (spec/format.md, section 4), of many objects at once: row by row takes far longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.format.fingerprint import canonical

_NOT_AS_IT_IS: Final = r"[^ !#-\[\]-~]"
"""A character that canonical JSON escapes."""
_AS_THEY_ARE: Final = bytes(code for code in range(ord(" "), ord("~") + 1) if chr(code) not in '"\\')
"""All that it does not."""


def row_objects(rows: pa.Table) -> list[str]:
    """Return each row as an object of its columns of text, times and whole numbers, but for those that are null."""
    fields = []
    for name in sorted(rows.column_names):
        column = _array(rows[name])
        values = _quoted(column) if pa.types.is_large_string(column.type) else _whole(column)
        fields.append(_between(f"{canonical(name)}:", values, ""))
    return list(_between("{", _joined_by(",", *fields, nulls="skip"), "}").to_pylist())


class OwnedRows:
    """Rows of some owners, whose ids are in the column ``owner``; those of others do not count. Texts are UTF-8."""

    def __init__(self, owners: Sequence[str], rows: pa.Table, owner: str) -> None:
        numbers = pc.index_in(rows[owner], value_set=pa.array(owners, pa.string()))
        rows = rows.append_column("", numbers)
        if numbers.null_count:
            rows = rows.filter(pc.is_valid(numbers))
        keys = _array(rows["key"]).dictionary_encode()
        ranks = pc.sort_indices(pc.sort_indices(keys.dictionary)).cast(pa.int64()).take(keys.indices)
        places = pc.add(pc.multiply(_array(rows[""]).cast(pa.int64()), len(keys.dictionary)), ranks)
        order = pc.sort_indices(places)  # which leaves rows of one place in their order
        places = places.take(order)
        self._owners = owners
        self._rows = rows.take(order)
        self._keys = _quoted(keys.dictionary).take(keys.indices.take(order))
        self._is_last = pa.concat_arrays([pc.not_equal(places[1:], places[:-1]), pa.array([True])])[: len(places)]

    @property
    def repeats_a_key(self) -> bool:
        """Whether an owner has two rows with one key."""
        return pc.all(self._is_last).as_py() is False

    def objects(self) -> dict[str, str]:
        """Return by owner that has rows an object of ``value`` by ``key``; of rows with one key the last counts.

        Values are texts, which may be null, or whole numbers.
        """
        values = self._column("value")
        texts = pc.fill_null(_quoted(values), "null") if pa.types.is_large_string(values.type) else _whole(values)
        entries = _joined_by(":", self._keys, texts)
        return self._joined(entries.filter(self._is_last), self._column("").filter(self._is_last), "{", "}")

    def points(self) -> dict[str, str]:
        """Return by owner that has rows the sorted list of ``[key, step, timestamp, value]``; no key is repeated."""
        values = pa.array(map(repr, self._column("value").to_pylist()), pa.large_string())
        whole = [_whole(self._column(name)) for name in ("step", "timestamp")]
        entries = _joined_by(",", self._keys, *whole, _between('"', values, '"'))
        return self._joined(_between("[", entries, "]"), self._column(""), "[", "]")

    def _column(self, name: str) -> pa.Array:
        return _array(self._rows[name])

    def _joined(self, entries: pa.Array, numbers: pa.Array, opening: str, closing: str) -> dict[str, str]:
        runs = pc.run_end_encode(numbers)
        ends = pa.concat_arrays([pa.array([0], pa.int32()), runs.run_ends])
        separator = pa.scalar(",", pa.large_string())
        texts = _between(opening, pc.binary_join(pa.ListArray.from_arrays(ends, entries), separator), closing)
        numbers_and_texts = zip(runs.values.to_pylist(), texts.to_pylist(), strict=True)
        return {self._owners[number]: text for number, text in numbers_and_texts}


def _quoted(texts: pa.Array) -> pa.Array:
    """Return texts as JSON strings."""
    strings = _between('"', texts, '"')
    data = texts.buffers()[2]
    if data is None or not data.to_pybytes().translate(None, _AS_THEY_ARE):  # sooner than looking at each text
        return strings
    odd = pc.fill_null(pc.match_substring_regex(texts, _NOT_AS_IT_IS), False)
    if not pc.any(odd).as_py():
        return strings
    return pc.replace_with_mask(strings, odd, pa.array(map(canonical, texts.filter(odd).to_pylist()), texts.type))


def _whole(numbers: pa.Array) -> pa.Array:
    """Return whole numbers, or times, as text."""
    return numbers.cast(pa.int64()).cast(pa.large_string())


def _between(opening: str, texts: pa.Array, closing: str) -> pa.Array:
    return _joined_by("", pa.scalar(opening, pa.large_string()), texts, pa.scalar(closing, pa.large_string()))


def _joined_by(separator: str, *pieces: pa.Array | pa.Scalar, nulls: str = "emit_null") -> pa.Array:
    return pc.binary_join_element_wise(*pieces, pa.scalar(separator, pa.large_string()), null_handling=nulls)


def _array(values: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece, which texts of more than 2 GiB are only with large offsets."""
    if pa.types.is_string(values.type):
        values = values.cast(pa.large_string())
    array = values.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
