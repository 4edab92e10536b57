"""``retire`` and ``undo`` as a person sees them."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command
from tests.retiring.subjects import change, database_subject


def test_what_would_go_what_went_and_what_came_back(cli: Command, tmp_path: Path) -> None:
    subject = database_subject(tmp_path, ("plain", "changed"))
    change(subject)
    words = ["retire", subject.archive, "--from", subject.uri, "--experiment", subject.experiment]
    left = (
        f"1 objects were left:\n  it is not as the archive holds it: tags [R502]\n    run {subject.runs['changed']}\n"
    )
    place = f"{subject.uri} what {subject.archive} holds"
    run_id, name = subject.runs["plain"], f"retired {tmp_path.name}"
    planned = cli(*words)
    assert planned.code == 3
    assert planned.out.splitlines() == [
        f"would retire from {place}",
        "  runs  1",
        "",
        f"kind  id{'':30}  name   experiment",
        f"run   {run_id}  plain  {name}",
    ]
    assert planned.err == left
    refused = cli(*words, "--yes")
    assert (refused.code, refused.out) == (2, "")
    done = cli(*words, "--yes", "--receipt", subject.receipt)
    assert (done.code, done.out, done.err) == (3, f"retired from {place}\n  runs  1\n", left)
    undone = cli("undo", subject.receipt)
    assert (undone.code, undone.out, undone.err) == (0, f"undid {subject.receipt}\n  runs brought back  1\n", "")
    again = cli(*words, "--yes", "--receipt", subject.receipt)
    sentence = (
        f"{subject.receipt} was undone: what it had deleted is back, and nothing is deleted by its list again; list "
        "anew what would go: give another --receipt"
    )
    assert (again.code, again.out, again.err) == (2, "", f"mlflow-archive: {sentence}\n")
