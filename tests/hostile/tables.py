"""What is changed in a table: cells, columns, the order of rows, how many there are, how Parquet writes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.contents import BLOBS, Contents
from tests.hostile.texts import EVERY, INTEGERS, JSON, NOT_UTF8, PATHS
from tests.spec.drafts import encode_part

_JSON_COLUMNS: Final = ("content", "value", "source", "request_preview", "description")
_TYPES: Final = (
    pa.large_string(),
    pa.binary(),
    pa.int32(),
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.null(),
    pa.list_(pa.string()),
    pa.struct([("a", pa.string())]),
    pa.timestamp("us"),
    pa.timestamp("ms"),
    pa.timestamp("ms", "UTC"),
    pa.decimal128(38),
)
ROWS_OF_A_GROUP: Final = 131_072


def _table(contents: Contents, random: Random) -> str:
    """Return the path of a part; packs have a mutation of their own for the blob index, so it is not taken often."""
    paths = sorted(contents.tables)
    return random.choice([path for path in paths if path.split("/")[1] != BLOBS or random.random() < 0.3])


def _replaced(table: pa.Table, number: int, column: Any, name: str | None = None) -> pa.Table:
    field = pa.field(name or table.field(number).name, column.type)
    return table.set_column(number, field, column)


def _raw(values: list[bytes | None]) -> pa.Array:
    """Return bytes that claim to be texts."""
    array = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(array), array.buffers())


def _new_cell(old: Any, kind: pa.DataType, name: str, random: Random) -> Any:
    if pa.types.is_string(kind):
        other = JSON if name in _JSON_COLUMNS and random.random() < 0.5 else PATHS if name == "path" else EVERY
        return random.choice(other).encode() if random.random() < 0.85 else random.choice(NOT_UTF8)
    if pa.types.is_floating(kind):
        return random.choice((float("nan"), float("inf"), -0.0, 1e308, 5e-324))
    if pa.types.is_boolean(kind):
        return not old
    if pa.types.is_binary(kind):
        return random.choice((b"", b"\x00" * 1000, *NOT_UTF8))
    return random.choice(INTEGERS)


def cell(contents: Contents, random: Random) -> str:
    """Change one value, now and then of every row."""
    path = _table(contents, random)
    table = contents.tables[path]
    number = random.randrange(table.num_columns)
    kind, name = table.field(number).type, table.field(number).name
    column = table.column(number)
    values = (column.cast(pa.int64()) if pa.types.is_timestamp(kind) else column).to_pylist()
    changed = range(len(values)) if random.random() < 0.15 else [random.randrange(len(values))]
    new = None if random.random() < 0.1 else _new_cell(values[0], kind, name, random)
    for row in changed:
        values[row] = new
    if pa.types.is_string(kind):
        array = _raw([value.encode() if isinstance(value, str) else value for value in values])
    else:
        array = pa.array(values, kind)
    contents.tables[path] = _replaced(table, number, array)
    return f"{name} of {path} becomes {new if new is None else new.__repr__()[:40]}"


def reference(contents: Contents, random: Random) -> str:
    """Put into one column what another column holds: ids that refer to themselves, or to something else."""
    path = _table(contents, random)
    table = contents.tables[path]
    texts = [number for number in range(table.num_columns) if table.field(number).type == pa.string()]
    target, source = random.choice(texts), random.choice(texts)
    other = [str(value) for value in contents.tables[_table(contents, random)].column(0).to_pylist()]
    values = table.column(source).to_pylist() if random.random() < 0.5 else [random.choice(other)] * table.num_rows
    contents.tables[path] = _replaced(table, target, pa.array(values, pa.string()))
    return f"{table.field(target).name} of {path} refers to something else"


def rows(contents: Contents, random: Random) -> str:
    """Take rows away, bring one twice, or change their order; nothing else of the archive follows."""
    path = _table(contents, random)
    table = contents.tables[path]
    order = list(range(table.num_rows))
    manner = random.choice(("none", "one less", "twice", "backwards", "shuffled"))
    if manner == "none":
        order = []
    elif manner == "one less":
        order.pop(random.randrange(len(order)))
    elif manner == "twice":
        order.insert(0, random.choice(order))
    else:
        order = order[::-1] if manner == "backwards" else random.sample(order, len(order))
    contents.tables[path] = table.take(pa.array(order, pa.int64()))
    return f"rows of {path}: {manner}"


def column(contents: Contents, random: Random) -> str:
    """Take a column away, bring one twice, under another name, of another type, or one that nobody knows."""
    path = _table(contents, random)
    table = contents.tables[path]
    number = random.randrange(table.num_columns)
    name = table.field(number).name
    manner = random.choice(("less", "twice", "renamed", "type", "type", "dotted", "unknown"))
    if manner == "less":
        changed = table.drop_columns([name])
    elif manner == "twice":
        changed = table.append_column(name, table.column(random.randrange(table.num_columns)))
    elif manner == "renamed":
        changed = _replaced(table, number, table.column(number), random.choice(EVERY)[:200])
    elif manner == "type":
        kind = random.choice(_TYPES)
        changed = _replaced(table, number, pa.nulls(table.num_rows, kind))
    else:
        new = f"{name}.x" if manner == "dotted" else random.choice(EVERY)[:200]
        changed = table.append_column(new, table.column(number))
    contents.tables[path] = changed
    return f"column {name} of {path}: {manner}"


def many(contents: Contents, random: Random) -> str:
    """Bring one row very often: few bytes on disk that are much when they are decoded."""
    path = _table(contents, random)
    table = contents.tables[path].slice(0, 1)
    count = random.choice((ROWS_OF_A_GROUP, ROWS_OF_A_GROUP + 1, 1_000_000))
    long = random.choice((0, 0, 2_000, 20_000)) if count == ROWS_OF_A_GROUP else 0
    texts = [number for number in range(table.num_columns) if table.field(number).type == pa.string()]
    target = random.choice(texts)
    changed = table.take(pa.array([0] * count, pa.int64())) if not long else None
    if changed is None:
        # References to one long text, as the dictionary of a column has it: written so, it is never held in full.
        picked = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array(["x" * long]))
        others = table.drop_columns([table.field(target).name]).take(pa.array([0] * count, pa.int64()))
        changed = others.add_column(target, table.field(target).name, picked)
    contents.tables[path] = changed
    contents.encode = lambda written: _written(written, use_dictionary=True, row_group_size=count)
    return f"{count} rows of {path}, each with {long} characters in {table.field(target).name}"


def _written(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    settings: dict[str, Any] = {"version": "2.6", "compression": "zstd", "write_page_checksum": True}
    pq.write_table(table, buffer, **{**settings, "store_schema": False, **options})
    return buffer.getvalue()


def _options(random: Random) -> dict[str, Any]:
    choices: tuple[dict[str, Any], ...] = (
        {"compression": "none"},
        {"compression": "gzip"},
        {"compression": "snappy"},
        {"compression": "lz4"},
        {"data_page_version": "2.0"},
        {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
        {"use_dictionary": False, "column_encoding": "DELTA_LENGTH_BYTE_ARRAY"},
        {"row_group_size": 1},
        {"write_statistics": False},
        {"store_schema": True},
        {"write_page_checksum": False},
        {"data_page_size": 1},
        {"version": "1.0"},
        {"use_byte_stream_split": True, "use_dictionary": False},
    )
    return random.choice(choices)


def writer(contents: Contents, random: Random) -> str:
    """Let Parquet write one part in another way."""
    path, options = _table(contents, random), _options(random)

    def edit(members: dict[str, bytes]) -> None:
        written: Callable[..., bytes] = _written
        try:
            members[path] = written(contents.tables[path], **options)
        except (pa.ArrowException, OSError):  # an encoding that one of the columns cannot have
            members[path] = encode_part(contents.tables[path], statistics=False)

    contents.member_edits.append(edit)
    return f"{path} written with {options}"


TABLES: Final = (cell, cell, cell, cell, reference, rows, column, column, many, writer)
