"""What a check collects on its way, and what it is given: whose rows are damaged, what of a delta lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.report import SignatureOptions
from mlflow_archive.verification import checks, taken
from mlflow_archive.verification.checks import _with_blobs_here, verify
from mlflow_archive.verification.tables import KeyRange, PartFound, TableFindings, _collect_owners
from tests.spec.drafts import Draft, build, in_order, write_directory, zipped
from tests.support.chunks import table
from tests.support.damage import copied

GOLDEN = Path(__file__).parents[1] / "golden"
DELTA, BASE = GOLDEN / "v1_4-delta.mlfa", GOLDEN / "v1-oddities.mlfa"


def files(*digests: str) -> list[dict[str, Any]]:
    return [{"owner_id": "a", "owner_kind": "run", "path": at, "size": 1, "digest": at} for at in digests]


def test_of_a_delta_files_count_whose_blob_is_there_or_may_have_been() -> None:
    """A damaged part of the blob index may have held each digest from its first to its last."""
    ranges = [KeyRange(table=TABLES[name], export=1, low="c", high="e") for name in ("blobs", "artifacts")]
    rows = table("artifacts", files("a", "b", "c", "d", "e", "f"))
    for damaged, here in ((ranges, ["a", "c", "d", "e"]), (ranges[1:], ["a"]), ([], ["a"])):
        found = _with_blobs_here(rows, {"a"}, TableFindings(damaged=damaged))
        assert found["digest"].to_pylist() == here
    assert _with_blobs_here(rows.slice(0, 0), {"a"}, TableFindings()).num_rows == 0


def collected(name: str, rows: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Return what is identified and what is referred to by rows of a table."""
    found = PartFound(member=Member(path="x", size=1, sha256="", kind="table", export=1))
    found.add("E033", "x", "a problem from before")
    _collect_owners(TABLES[name], table(name, rows), found)
    identified = [
        (each.kind, each.ids.to_pylist(), None if each.keys is None else each.keys.to_pylist())
        for each in found.identified
    ]
    return identified, [(each.kind, each.ids.to_pylist(), each.behind) for each in found.referred]


def test_whom_rows_say_there_is_and_to_whom_they_belong() -> None:
    run = {"run_id": "a", "experiment_id": "1"}
    assert collected("runs", [run, {**run, "run_id": "b"}]) == (
        [("run", ["a", "b"], None)],
        [("experiment", ["1"], 1)],
    )
    models = [{"name": "m", "workspace": at} for at in ("default", "team")]
    [(kind, ids, keys)], referred = collected("registered_models", models)
    assert (kind, len(set(ids)), keys, referred) == ("registered_model", 2, ["m", "m"], [])
    dataset = {"experiment_id": "1", "name": "d", "digest": "7", "source_type": "x", "source": ""}
    [(kind, ids, keys)], referred = collected("datasets", [dataset])
    assert (kind, keys, referred) == ("dataset", ["1"], [("experiment", ["1"], 1)])
    tag = {"run_id": "a", "key": "k", "value": "v"}
    assert collected("tags", [tag, {**tag, "key": "l"}]) == ([], [("run", ["a"], 1)])
    owned = [*files("x", "y"), {**files("z")[0], "owner_kind": "trace", "owner_id": "t"}]
    assert collected("artifacts", owned) == ([], [("run", ["a"], 1), ("trace", ["t"], 1)])
    gap = {"owner_id": "a", "owner_kind": "run", "path": "x", "code": "G101", "reason": ""}
    assert collected("gaps", [gap]) == ([], [])


def test_signatures_are_checked_as_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SignatureOptions] = []
    monkeypatch.setattr(checks, "check_signatures", lambda _, options: asked.append(options))
    write_directory(build(Draft()), tmp_path)
    verify(tmp_path, signers="signers")
    verify(tmp_path, signers="signers", require_signature=True, tsa_ca="ca.pem")
    assert asked == [
        SignatureOptions(signers=Path("signers"), required=False, tsa_ca=None),
        SignatureOptions(signers=Path("signers"), required=True, tsa_ca=Path("ca.pem")),
    ]


def test_a_copy_of_the_manifest_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    members = build(Draft())
    del members["manifests/0001.json"]
    (tmp_path / "a.mlfa").write_bytes(zipped(in_order(members)))
    problems = verify(tmp_path / "a.mlfa").problems
    assert [(problem.code, problem.member) for problem in problems] == [("E010", "manifests/0001.json")]


def test_of_two_archives_that_which_is_damaged_is_named(tmp_path: Path) -> None:
    base = copied(BASE, tmp_path / "base.mlfa")
    with open_archive(base) as archive:
        [first, *_] = [member for member in archive.manifest.members if member.kind == "table"]
        place = archive.open_member(first).place
    assert place is not None
    data = bytearray(base.read_bytes())
    data[place[1] + 10] ^= 1
    base.write_bytes(data)
    with open_archive(DELTA, base=base) as both, pytest.raises(DamagedError) as caught:
        taken.check_taken(both)
    assert str(caught.value).startswith(f"E012: {base}: {first.path}: its SHA-256 is ")
    assert caught.value.member == first.path


def test_behind_a_file_that_lies_in_the_base_the_others_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_archive(DELTA) as archive:
        rows = archive.table("artifacts").to_pylist()
        held = {row["digest"] for row in archive.table("blobs").to_pylist()}
        rows.sort(key=lambda row: row["digest"] in held)
        assert [row["digest"] in held for row in rows] == [False] * (len(rows) - 1) + [True]
        rows[-1]["size"] += 1
        monkeypatch.setattr(taken, "_artifacts", lambda *_: iter([rows]))
        with pytest.raises(DamagedError) as caught:
            taken.check_taken(archive)
    said = (
        f"run {rows[-1]['owner_id']}, artifact {rows[-1]['path']!r}: it states {rows[-1]['size']} bytes, its blob has"
    )
    assert str(caught.value) == f"E052: {said} {rows[-1]['size'] - 1}"
