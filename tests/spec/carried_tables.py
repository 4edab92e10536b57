"""Vectors of tables of the source's database that no version of the format knows, carried as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.format.manifest import canonical_json
from tests.spec.drafts import COPY, Draft, Files, Row, build, checksums, encode_part, in_order, member_entry, zipped
from tests.spec.faults import Fault, Tables, both, deep

FIRST, SECOND = (f"tables/unknown_tables/0001-0000{number}.parquet" for number in (0, 1))
GIZMOS: Final = pa.table(
    {
        "Odd näme": pa.array([2**63 - 1, None, 0], pa.int64()),
        "data": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "is_on": pa.array([True, None, False], pa.bool_()),
        "name": pa.array(["ü\n", None, ""], pa.string()),
        "weight": pa.array([float("nan"), None, -0.0], pa.float64()),
    }
)
COLUMNS: Final = [
    ["Odd näme", "int64"],
    ["data", "binary"],
    ["is_on", "bool"],
    ["name", "string"],
    ["weight", "double"],
]


def _gizmos(tables: Tables) -> None:
    tables[FIRST] = GIZMOS


def _stated(document: Row, **keys: Any) -> None:
    """State the parts of unknown tables as parts of one, and of that the columns."""
    document["format"].update(minor=1)
    document["exports"][0]["counts"].pop("unknown_tables")
    for entry in document["members"]:
        if entry["path"] in (FIRST, SECOND):
            entry.update({"table": "unknown:gizmos", "columns": COLUMNS, **keys})


def stated(**keys: Any) -> Callable[[Row], None]:
    return lambda document: _stated(document, **keys)


def _twice(tables: Tables) -> None:
    tables[FIRST] = tables[SECOND] = GIZMOS


def carried() -> Files:
    """Return an archive whose second export has the table again, with a row and two columns less, and another one."""
    files = build(Draft(tables=_gizmos, manifest=stated()))
    document = json.loads(files["manifest.json"])
    parts = {"gizmos": GIZMOS.select([0, 3]).slice(1), "Empty/ü": pa.table({"a": pa.array([], pa.string())})}
    columns = {"gizmos": [COLUMNS[0], COLUMNS[3]], "Empty/ü": [["a", "string"]]}
    for number, (name, rows) in enumerate(parts.items()):
        path = f"tables/unknown_tables/0002-0000{number}.parquet"
        files[path] = encode_part(rows)
        entry = member_entry(path, files[path], {path: rows}, 2)
        document["members"].append({**entry, "table": f"unknown:{name}", "columns": columns[name]})
    document["members"].append(member_entry(COPY, files[COPY], {}))
    document["members"].sort(key=lambda member: str(member["path"]))
    document["exports"].append(
        {**document["exports"][0], "number": 2, "counts": {}, "selection": {"unknown_tables": True}}
    )
    data, copy = canonical_json(document), "manifests/0002.json"
    return {**files, copy: data, "checksums.sha256": checksums(document, copy, data), "manifest.json": data}


VALID: Final[dict[str, tuple[str, Callable[[], Files | bytes]]]] = {
    "carried_tables.mlfa": (
        "Format 1.1: tables of the source's database that nobody knows, of every type, one of them in two exports.",
        lambda: zipped(in_order(carried())),
    ),
}


def _fault(what: str, tables: Callable[[Tables], None] = _gizmos, **keys: Any) -> Fault:
    return deep(what, tables=tables, manifest=stated(**keys))


FAULTS: Final = {
    "E002_carried_flag": Fault(
        what="The key unknown_tables of a selection is no boolean.",
        draft=Draft(files=both(lambda data: data.replace(b'"selection":{}', b'"selection":{"unknown_tables":1}'))),
    ),
    "E031_carried_columns": _fault("The manifest states a type that no column has.", columns=[["name", "list"]]),
    "E031_carried_no_columns": _fault("The manifest states no columns of an unknown table.", columns=[]),
    "E031_carried_type": _fault("A column has another type than the manifest states.", columns=[["name", "binary"]]),
    "E031_carried_twice": _fault("Two parts of an unknown table in one export.", _twice),
    "E032_carried_rows": _fault("A part of an unknown table has another number of rows.", rows=2),
}
