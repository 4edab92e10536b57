"""Fingerprints: the very digests that spec/format.md gives, so that archives of other versions stay comparable."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pytest

from mlflow_archive.format.fingerprint import Fingerprint, entity_fingerprint, fingerprints_of, run_fingerprint


@dataclass(frozen=True)
class File:
    path: str
    size: int | None = None
    mark: str | None = None


def sha(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def test_that_of_a_run_is_over_five_parts() -> None:
    found = run_fingerprint(
        {"status": "FINISHED", "end_time": None, "start_time": 5},
        {"b": "é", "a": "1"},
        {"t": None},
        [("m", 2, 7, 0.1), ("l", 1, 6, float("nan")), ("k", 0, 0, 1)],  # the last value is an integer here
        [File("z", None), File("a", 3)],
    )
    document = (
        '[{"start_time":5,"status":"FINISHED"},{"a":"1","b":"\\u00e9"},{"t":null},'
        '[["k",0,0,"1.0"],["l",1,6,"nan"],["m",2,7,"0.1"]],[["a",3],["z",-1]]]'
    )
    assert (found, found.contents) == (sha(document), None)


def test_that_of_another_entity_is_over_its_rows_but_spans() -> None:
    rows: dict[str, list[dict[str, object]]] = {
        "traces": [{"id": "t", "end": None, "cost": 0.5}],
        "trace_tags": [{"key": "b"}, {"key": "a"}],
        "spans": [{"id": "s"}],
        "assessments": [],
    }
    found = entity_fingerprint(rows, [File("f", 1, "m")])
    document = (
        '[{"trace_tags":["{\\"key\\":\\"a\\"}","{\\"key\\":\\"b\\"}"],"traces":["{\\"cost\\":\\"0.5\\",\\"id\\":\\"t\\"}"]},'
        '[["f",1]]]'
    )
    assert found == sha(document)
    assert found.contents == sha('[null,[["f","m"]]]')


@pytest.mark.parametrize(
    ("files", "points", "contents"),
    [
        ([], None, None),
        ([File("a", 1)], None, None),
        ([File("a", 1)], {}, sha("[{},null]")),
        ([File("b"), File("a", 1, "m")], None, sha('[null,[["a","m"],["b",null]]]')),
        ([File("a", 1, "m")], {"k": 2, "b": 3}, sha('[{"b":3,"k":2},[["a","m"]]]')),
    ],
)
def test_what_it_does_not_see_is_in_the_contents(
    files: list[File], points: dict[str, int] | None, contents: str | None
) -> None:
    assert run_fingerprint({}, {}, {}, [], files, points).contents == contents


@pytest.mark.parametrize(
    ("own", "known", "agrees"),
    [
        (Fingerprint("a", "x"), Fingerprint("a", "x"), True),
        (Fingerprint("a", "x"), Fingerprint("a", "y"), False),
        (Fingerprint("a", "x"), Fingerprint("b", "x"), False),
        (Fingerprint("a"), Fingerprint("a", "y"), True),
        (Fingerprint("a", "x"), Fingerprint("a"), True),
        (Fingerprint("a", "x"), "a", True),
        (Fingerprint("a", "x"), None, False),
    ],
)
def test_contents_count_where_both_know_them(own: Fingerprint, known: str | None, agrees: bool) -> None:
    assert own.agrees_with(known) is agrees


def test_they_are_kept_as_rows() -> None:
    rows = [Fingerprint("a", "x").row("run", "1"), Fingerprint("b").row("trace", "2")]
    assert rows == [
        {"owner_id": "1", "owner_kind": "run", "fingerprint": "a", "contents": "x"},
        {"owner_id": "2", "owner_kind": "trace", "fingerprint": "b", "contents": None},
    ]
    assert [type(row["fingerprint"]) for row in rows] == [str, str]
    read = list(fingerprints_of(pa.Table.from_pylist(rows)))
    assert [(*row, row[2].contents) for row in read] == [("run", "1", "a", "x"), ("trace", "2", "b", None)]
