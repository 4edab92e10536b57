"""What a receipt of a retirement says, whole; and what is no receipt of this one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.retiring.receipt import LEFT, RetiredObject, RetireReceipt, read_receipt
from mlflow_archive.retiring.site import Address

FACTS = {"archive_id": "0" * 64, "older_than": None}
NAMELESS = RetiredObject(kind="run", id="a", name="", experiment_id="1", experiment="")
MODEL = RetiredObject(
    kind="logged_model",
    id="m-1",
    name="net \udcff",
    experiment_id="1",
    experiment="churn",
    maker="a",
    workspace="team",
    updated_ms=0,
    state=LEFT,
    code="R502",
    reason="it changed",
)


def test_it_is_written_whole_and_comes_back(tmp_path: Path) -> None:
    receipt = RetireReceipt(path=tmp_path / "receipt.json", facts=dict(FACTS), entries=[NAMELESS, MODEL])
    assert (receipt.state, receipt.path.exists() if receipt.path else None) == ("new", False)
    receipt.save("done")
    receipt.save()
    data = (tmp_path / "receipt.json").read_bytes()
    expected = {
        "command": "retire",
        "state": "done",
        **FACTS,
        "bring_back": "mlflow-archive undo receipt.json",
        "objects": [
            {"kind": "run", "id": "a", "experiment_id": "1", "state": "planned"},
            {
                "kind": "logged_model",
                "id": "m-1",
                "name": "net \udcff",
                "experiment_id": "1",
                "experiment": "churn",
                "maker": "a",
                "workspace": "team",
                "updated_ms": 0,
                "state": "left",
                "code": "R502",
                "reason": "it changed",
            },
        ],
    }
    text = json.dumps(expected, indent=1, ensure_ascii=False) + "\n"
    assert data.decode("utf-8", "surrogatepass") == text
    again = read_receipt(tmp_path / "receipt.json")
    assert (again.path, again.facts, again.state) == (receipt.path, FACTS, "done")
    assert again.entries == [NAMELESS, MODEL]
    assert again.entries[1].address == Address(kind="logged_model", id="m-1", workspace="team", updated_ms=0)


def test_while_it_runs_a_journal_takes_what_changes(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    receipt = RetireReceipt(path=path, facts=dict(FACTS), entries=[NAMELESS, MODEL])
    receipt.save("running")
    [first] = tmp_path.glob("receipt.json.journal-*")
    assert json.loads(path.read_bytes())["journal"] == first.name
    whole, runs = path.read_bytes(), receipt.runs_that_go()
    assert set(runs) == {"a"}
    receipt.put(0, replace(NAMELESS, state="deleted"))
    receipt.put(1, replace(MODEL, state="planned"))
    receipt.save()
    receipt.put(0, replace(NAMELESS, state="left"))
    receipt.save()
    assert (path.read_bytes(), first.read_bytes().count(b"\n"), set(runs)) == (whole, 2, set())
    expected = [replace(NAMELESS, state="left"), replace(MODEL, state="planned")]
    assert read_receipt(path).entries == expected
    with first.open("ab") as file:
        file.write(b'[[0, {"kind": "run", "id": "b"')  # what a kill leaves
    again = read_receipt(path)
    assert (again.entries, again.facts) == (expected, FACTS)
    again.save("running")
    [second] = tmp_path.glob("receipt.json.journal-*")
    assert second != first
    second.unlink()
    with pytest.raises(SelectionError, match="journal-"):
        read_receipt(path)
    again.save("done")
    assert [each.name for each in tmp_path.iterdir()] == ["receipt.json"]
    assert read_receipt(path).entries == expected


def test_without_a_path_nothing_is_written() -> None:
    receipt = RetireReceipt(path=None, facts={})
    receipt.save("done")
    assert receipt.to_json() == {"command": "retire", "state": "done", "bring_back": "", "objects": []}


def test_a_receipt_of_another_question_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    receipt = RetireReceipt(path=path, facts=dict(FACTS))
    receipt.check(FACTS)
    receipt.check({})
    with pytest.raises(SelectionError) as caught:
        receipt.check({**FACTS, "older_than": "1d"})
    assert str(caught.value) == (
        f"{path} is the receipt of another retirement: its older than is None, not '1d'; give another --receipt"
    )


def test_what_is_no_receipt_is_said(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    for text, reason in (
        ("[]", "list indices must be integers or slices, not str"),
        ('{"objects": []}', "'state'"),
        ('{"state": "new"}', "'objects'"),
    ):
        path.write_text(text)
        with pytest.raises(SelectionError) as caught:
            read_receipt(path)
        assert str(caught.value) == f"{path} is no receipt of a retirement: {reason}"
    path.write_text('{"objects": [], "state": "new", "command": "import"}')
    with pytest.raises(SelectionError) as other:
        read_receipt(path)
    assert str(other.value) == f"{path} is the receipt of 'import', not of a retirement"
    with pytest.raises(SelectionError, match=r"none is no receipt of a retirement: .*No such file"):
        read_receipt(tmp_path / "none")
