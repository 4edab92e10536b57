"""A receipt and its journal line by line, and the command that brings back what undo alone does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.journal import changes_in, new_journal, remove_journals
from mlflow_archive.retiring.receipt import RetiredObject, RetireReceipt, read_receipt

DATABASE = {"archive": "a.mlfa", "source": "sqlite:///x.db"}
SERVER = {"archive": "a.mlfa", "source": "https://server"}
RUN_ENTRY = RetiredObject(kind=RUN, id="r")
MODEL = RetiredObject(kind=LOGGED_MODEL, id="m", maker="r")
OF_NOBODY = RetiredObject(kind=LOGGED_MODEL, id="m")
TRACE_ENTRY = RetiredObject(kind=TRACE, id="t")
RESTORE = "mlflow-archive restore a.mlfa {option} --merge --to {place} --artifact-root ROOT"
AT_DATABASE, AT_SERVER = "sqlite:///x.db", "DATABASE"


def way_back(entry: RetiredObject, state: str, facts: dict[str, Any], path: Path | None = None) -> str:
    return RetireReceipt(path=path, facts=dict(facts)).way_back(replace(entry, state=state))


@pytest.mark.parametrize("state", ["purging", "purged"])
@pytest.mark.parametrize(
    ("entry", "option"),
    [(RUN_ENTRY, "--run r"), (MODEL, "--run r"), (OF_NOBODY, "--run m"), (TRACE_ENTRY, "--trace t")],
)
def test_what_was_purged_comes_back_from_the_archive(entry: RetiredObject, option: str, state: str) -> None:
    assert way_back(entry, state, DATABASE) == RESTORE.format(option=option, place=AT_DATABASE)
    assert way_back(entry, state, SERVER) == RESTORE.format(option=option, place=AT_SERVER)
    undone = {**SERVER, "undoes": "i.json"}
    assert way_back(entry, state, undone) == "mlflow-archive import a.mlfa --to https://server"


def test_a_model_that_a_server_deleted_comes_back_by_its_database_and_all_else_by_undo() -> None:
    path = Path("/folder/r.json")
    for state in ("new", "planned", "deleting", "deleted", "left", "held", "brought back"):
        for entry in (RUN_ENTRY, MODEL, TRACE_ENTRY):
            assert way_back(entry, state, DATABASE, path) == ""
            of_model = entry is MODEL and state in ("deleting", "deleted")
            for place, name in ((path, "r.json"), (None, "RECEIPT")):
                said = f"mlflow-archive undo {name} --to DATABASE" if of_model else ""
                assert way_back(entry, state, SERVER, place) == said
    assert way_back(MODEL, "deleted", {}, path) == ""


def test_each_object_of_a_receipt_has_the_command_that_brings_it_back(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    entries = [replace(TRACE_ENTRY, state="purged"), RUN_ENTRY, replace(MODEL, state="deleted")]
    receipt = RetireReceipt(path=path, facts=dict(SERVER), entries=entries, state="new")
    receipt.save("done")
    document = json.loads(path.read_bytes())
    assert [each.get("bring_back") for each in document["objects"]] == [
        RESTORE.format(option="--trace t", place=AT_SERVER),
        None,
        "mlflow-archive undo r.json --to DATABASE",
    ]
    assert read_receipt(path).entries == entries


def test_a_receipt_that_was_undone_deletes_nothing_again() -> None:
    receipt = RetireReceipt(path=Path("r.json"), facts={"archive_id": "a"}, state="brought back")
    with pytest.raises(SelectionError) as undone:
        receipt.check({"archive_id": "a"})
    assert str(undone.value) == (
        "r.json was undone: what it had deleted is back, and nothing is deleted by its list again; list anew what "
        "would go: give another --receipt"
    )
    with pytest.raises(SelectionError) as other:
        receipt.check({"archive_id": "b"})
    assert str(other.value) == (
        "r.json is the receipt of another retirement: its archive id is 'a', not 'b'; give another --receipt"
    )
    for state in ("new", "running", "done"):
        replace(receipt, state=state).check({"archive_id": "a"})


def test_the_runs_that_go_follow_what_is_put() -> None:
    entries = [
        replace(RUN_ENTRY, id=state, state=state)
        for state in ("planned", "deleting", "deleted", "purging", "purged", "left", "held", "brought back")
    ]
    receipt = RetireReceipt(path=None, facts={}, entries=[*entries, MODEL])
    receipt.put(5, replace(entries[5], state="planned"))
    assert set(receipt.runs_that_go()) == {"planned", "deleting", "deleted", "purging", "purged", "left"}
    receipt.put(0, replace(entries[0], state="held"))
    receipt.put(6, replace(entries[6], state="deleting"))
    receipt.put(8, replace(MODEL, state="deleted"))
    receipt.put(7, replace(entries[7], state="held"))
    assert set(receipt.runs_that_go()) == {"deleting", "deleted", "purging", "purged", "left", "held"}
    assert receipt.entries[8].state == "deleted"


def test_a_journal_has_what_was_put_since_each_time_once(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    receipt = RetireReceipt(path=path, facts={}, entries=[RUN_ENTRY, MODEL])
    receipt.put(0, replace(RUN_ENTRY, state="left"))
    receipt.save("running")
    [journal] = tmp_path.glob("r.json.journal-*")
    assert journal.read_bytes() == b""
    receipt.save()
    receipt.put(1, replace(MODEL, state="held", reason="ü"))
    receipt.put(1, replace(MODEL, state="left"))
    receipt.save()
    receipt.put(0, replace(RUN_ENTRY, state="held"))
    receipt.put(1, replace(MODEL, state="held"))
    receipt.save()
    of_run = {"kind": "run", "id": "r", "state": "held"}
    of_model = {"kind": "logged_model", "id": "m", "maker": "r"}
    assert [json.loads(line) for line in journal.read_bytes().splitlines()] == [
        [],
        [[1, {**of_model, "state": "left"}]],
        [[0, of_run], [1, {**of_model, "state": "held"}]],
    ]
    assert json.loads(path.read_bytes())["state"] == "running"
    of_journal = [list(change) for change in changes_in(path, json.loads(path.read_bytes()))]
    assert of_journal == [[1, {**of_model, "state": "left"}], [0, of_run], [1, {**of_model, "state": "held"}]]
    assert list(changes_in(path, {})) == []
    receipt.save("new")
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]
    receipt.put(0, RUN_ENTRY)
    receipt.save()
    assert read_receipt(path).entries[0] == RUN_ENTRY


def test_journals_of_other_receipts_stay(tmp_path: Path) -> None:
    one, other = tmp_path / "r.json", tmp_path / "s.json"
    own = [new_journal(one, {"state": "running", "n": number}) for number in range(2)]
    new_journal(other, {})
    assert len({journal.path for journal in own}) == 2
    own[0].add([[0, {}]])
    own[0].add([[1, {}]])
    assert (own[0].size, own[1].size, own[0].path.read_bytes()) == (20, 0, b"[[0, {}]]\n[[1, {}]]\n")
    again = new_journal(one, {"state": "running", "n": 0})
    assert again.path not in {journal.path for journal in own}
    remove_journals(one, but=own[0])
    assert sorted(each.name.partition(".journal-")[0] for each in tmp_path.iterdir()) == ["r.json", "s.json"]
    remove_journals(one, but=None)
    assert [each.name.partition(".journal-")[0] for each in tmp_path.iterdir()] == ["s.json"]


def test_a_change_of_an_entry_that_is_not_there_is_no_receipt(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    receipt = RetireReceipt(path=path, facts={}, entries=[RUN_ENTRY])
    receipt.save("running")
    [journal] = tmp_path.glob("r.json.journal-*")
    journal.write_bytes(b'[[1, {"kind": "run", "id": "r"}]]\n')
    with pytest.raises(SelectionError, match=r"is no receipt of a retirement: list assignment index out of range"):
        read_receipt(path)
    journal.write_bytes(b'[[0, {"kind": "run", "id": "s", "bring_back": "x"}]]\n[[0')
    assert read_receipt(path).entries == [replace(RUN_ENTRY, id="s")]
