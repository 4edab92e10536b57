"""A scan of rows, small files and the manifest: which find a place gives, in which order, and what is counted."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mlflow_archive.errors import ElsewhereError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Quiet
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.scanning import archive as scanning
from mlflow_archive.scanning.archive import scan_archive
from mlflow_archive.scanning.report import ScanReport
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points
from tests.support.chunks import run as run_row

GOLDEN = Path(__file__).parents[1] / "golden"
RUN = "0a" + "0" * 30
KEY, EMAIL = "AKIA" + "A1B2C3D4" * 2, "ada.lovelace@bank.example"
HIDDEN = "ad… (25 characters)"


class Counting(Quiet):
    """Adds up what is told."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    def advance(self, unit: str, amount: int) -> None:
        self.done[unit] += amount


def scanned(path: Path, source: ChunkSource, selection: Selection | None = None) -> tuple[ScanReport, Counter[str]]:
    copy(source, ArchiveSink(path, ArchiveOptions(jobs=1), tool="test", clock_ms=lambda: 1), selection)
    progress = Counting()
    with open_archive(path) as archive:
        return scan_archive(archive, progress), progress.done


def test_a_value_under_a_telling_key_is_one_find_and_what_is_in_the_key_another(tmp_path: Path) -> None:
    params = {"aws_secret_key": KEY, f"{EMAIL} password": "hunter3x", "monkey": "banana1", "note": f"{KEY} {EMAIL}"}
    rows = chunk(
        experiments=[experiment("1", "churn")],
        runs=[run_row(RUN, "1")],
        params=pairs(RUN, params),
        tags=[{"run_id": RUN, "key": "token", "value": None}],
        metrics=points(RUN, "password", [1.0, 2.0]),
        datasets=[{"experiment_id": "1", "name": "d", "digest": KEY, "source_type": "local", "source": "x"}],
        gaps=[{"owner_id": RUN, "owner_kind": "run", "path": "x", "code": "G101", "reason": f"no {EMAIL}"}],
    )
    report, progress = scanned(tmp_path / "a", ChunkSource((0, [rows])))
    found = [(f"{find.table}.{find.column}", find.owner_kind, find.key, find.name, find.value) for find in report.finds]
    names = {"aws": "AWS Access Key", "e-mail": "e-mail address", "key": "value under a telling name"}
    assert sorted(found, key=str) == sorted(
        [
            ("datasets.digest", "dataset", None, names["aws"], "AK… (20 characters)"),
            ("gaps.reason", "run", "x/G101", names["e-mail"], HIDDEN),
            ("params.key", "run", f"{HIDDEN} password", names["e-mail"], HIDDEN),
            ("params.value", "run", "aws_secret_key", names["key"], "AK… (20 characters)"),
            ("params.value", "run", f"{HIDDEN} password", names["key"], "hu… (8 characters)"),
            ("params.value", "run", "note", names["aws"], "AK… (20 characters)"),
            ("params.value", "run", "note", names["e-mail"], HIDDEN),
        ],
        key=str,
    )
    assert {find.owner_id for find in report.finds if find.owner_kind == "run"} == {RUN}
    assert 'key = "* password"' in report.rules()
    assert progress == {"rows": 1 + 1 + 4 + 1 + 2 + 1 + 1}


def test_what_the_manifest_states_is_searched(tmp_path: Path) -> None:
    facts = SourceFacts(kind="mlruns", uri=f"file:///home/{KEY}/mlruns")
    report, _ = scanned(tmp_path / "a", ChunkSource((0, [chunk(experiments=[experiment("1", "x")])]), facts=facts))
    find = {"kind": "credential", "name": "AWS Access Key", "value": "AK… (20 characters)"}
    assert [find.to_json() for find in report.finds] == [find]
    assert report.places == {("manifest", "credential", "AWS Access Key"): 1}
    assert tomllib.loads(report.rules())["values"][0]["action"] == "pseudonym"


@pytest.mark.parametrize("at_once", [1, 2, 3, 1_000])
def test_files_are_found_however_many_are_searched_together(
    tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the one of them that is long, and that of no bytes; a binary one among them is no end."""
    monkeypatch.setattr(scanning, "_AT_ONCE", at_once)
    contents = {
        "a": b"none",
        "b.gz": b"\x1f\x8b\x08",
        "c": f"{KEY} c".encode(),
        "d": b"-" * 20_000 + f"\n{KEY} d".encode(),
        "e": f"\n\n{KEY} e".encode(),
        "f": b"",
        "g.gz": b"\x1f\x8b\x09",
        "h": f"\n{KEY} h".encode(),
    }
    files = [artifact(RUN, path, data) for path, data in contents.items()]
    rows = chunk([*files, artifact(RUN, "copy of h", contents["h"])], runs=[run_row(RUN, "1")])
    source = ChunkSource((0, [chunk(experiments=[experiment("1", "x")])]), (1, [rows]))
    report, progress = scanned(tmp_path / "a.mlfa", source)
    found = sorted((find.path, find.line) for find in report.finds)
    assert found == [("c", 1), ("copy of h", 2), ("d", 2), ("e", 3), ("h", 2)]
    texts = {path: data for path, data in contents.items() if not path.endswith(".gz")}
    assert (report.looked["artifacts"], report.looked["bytes"]) == (7, sum(map(len, texts.values())))
    assert report.not_looked == {"gzip": 2}
    assert progress["bytes"] == report.looked["bytes"]


def test_each_table_that_no_version_knows_is_searched(tmp_path: Path) -> None:
    tables = {
        "gizmos": pa.table({"name": [KEY, None], "data": pa.array([b"x", None], pa.binary())}),
        "widgets": pa.table({"digest": [None, KEY], "one": pa.array([b"", b""], pa.binary()), "two": [b"", b""]}),
        "wodgets": pa.table({"number": [1]}),
    }
    known = replace(chunk(experiments=[experiment("1", "x")]), unknown_tables=tables)
    facts = SourceFacts(kind="database", uri="sqlite:///mlflow.db", mlflow_version="3.17.0")
    report, _ = scanned(tmp_path / "a", ChunkSource((0, [known]), facts=facts), Selection(unknown_tables=True))
    assert [(find.table, find.column) for find in report.finds] == [
        *(("unknown:gizmos", "name"), ("unknown:widgets", "digest"))
    ]
    assert report.looked == {"values": 4 + 1 + 1}
    assert report.to_json()["not_looked_into"] == {"binary columns of unknown tables": 3}


def test_a_delta_without_its_base_is_not_searched() -> None:
    with open_archive(GOLDEN / "v1_4-delta.mlfa") as archive, pytest.raises(ElsewhereError, match="and a scan takes a"):
        scan_archive(archive, Quiet())
