"""A restore that is killed while it writes: the same command does it, and what else was left is told or gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_archive_cli.main import run as run_command
from tests.contracts.source_contract import OTHER, PARENT
from tests.sinks.test_restore_files import files_below
from tests.support.chunks import chunk, experiment, run
from tests.support.databases import sqlite_rows
from tests.support.restoring import content, export, restore

WHOLE = {
    f"1/{PARENT}/artifacts/a b.txt": b"spaces",
    f"1/{PARENT}/artifacts/deep/er/empty": b"",
    f"1/{PARENT}/artifacts/big.bin": b"x" * 5000,
}
DYING = """
import os, signal, sys
from mlflow_archive.artifact_roots import local
real, files = local.copyfileobj, []
def dying(source, target, block):
    files.append(target)
    if len(files) == {file}:
        target.write(source.read(3))
        target.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target, block)
local.copyfileobj = dying
sys.argv[1:] = {argv!r}
from mlflow_archive_cli.main import main
main()
"""


@pytest.fixture
def words(store: Path, tmp_path: Path) -> list[str]:
    """The command."""
    root = tmp_path / "root"
    return ["restore", str(store), "--to", f"sqlite:///{tmp_path / 'to' / 't.db'}", "--artifact-root", str(root)]


def killed(words: list[str], *, file: int) -> None:
    """Give a command and kill it when some bytes of the so manieth file are written."""
    program = DYING.format(file=file, argv=words)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True)
    assert process.returncode == -9, process.stderr


def hidden(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("file", [1, 3])
def test_the_same_command_does_it(
    file: int, merge: bool, words: list[str], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "to/t.db"
    if merge:
        other = archive_with_a_run(tmp_path / "other")
        restore(other, f"sqlite:///{target}")
        words = [*words, "--merge"]
    killed(words, file=file)
    root = tmp_path / "root"
    left = {path: data for path, data in files_below(root).items() if not path.startswith(".")}
    assert left.items() < WHOLE.items(), "a file among a run's artifacts is whole"
    assert target.exists() == merge
    assert run_command(words) == 0
    output = "".join(capsys.readouterr())
    assert "killed" not in output
    assert files_below(root) == WHOLE
    assert hidden(root) == [] == hidden(target.parent)
    assert sqlite_rows(target, "SELECT count(*) FROM runs") == [(5 if merge else 4,)]
    again = content(export(f"sqlite:///{target}", tmp_path / "again.mlfa"))
    assert again["artifacts"] == content(store)["artifacts"]


def archive_with_a_run(path: Path) -> Path:
    from tests.sinks.test_restore import archive_of  # noqa: PLC0415

    return archive_of(path, chunk(experiments=[experiment("7", "e")]), chunk(runs=[run("e" * 32, "7")]))


def test_files_that_another_restore_does_not_write_are_named(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(words, file=3)
    root, receipt = tmp_path / "root", tmp_path / "r.json"
    assert run_command([*words, "--experiment", "2", "--receipt", str(receipt)]) == 0
    assert sqlite_rows(tmp_path / "to/t.db", "SELECT run_uuid FROM runs") == [(OTHER,)]
    (listed,) = hidden(root)
    told = "2 files that a killed restore wrote are not among those of this one"
    assert told in "".join(capsys.readouterr())
    assert json.loads(receipt.read_text())["left_by_killed"] == {str(listed / "written.jsonl"): 2}
    entries = [json.loads(line) for line in (listed / "written.jsonl").read_text().splitlines()]
    assert {f"{Path(uri).relative_to(root)}/{path}" for uri, path, _ in entries} < WHOLE.keys()
    assert {path.name for path in listed.iterdir()} == {"lock", "written.jsonl"}
    # The whole thing writes them: nothing is left to tell.
    assert run_command([*words, "--merge"]) == 0
    assert "killed" not in "".join(capsys.readouterr())
    assert hidden(root) == []
    assert files_below(root) == WHOLE


def test_a_restore_that_is_under_way_is_left_alone(store: Path, tmp_path: Path) -> None:
    """Two at once to one root and one folder: neither takes the other's for left behind."""
    from mlflow_archive.sinks.restore.unfinished import Unfinished, left_behind  # noqa: PLC0415

    held = Unfinished(tmp_path, "t.db")
    assert list(left_behind(tmp_path, "t.db")) == []
    restore(store, f"sqlite:///{tmp_path / 't.db'}", artifact_root=str(tmp_path / "root"))
    assert held.path.is_dir()
    held.remove()
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("names", [(), ("lock.new",)])
def test_a_folder_whose_process_was_killed_before_it_had_a_lock_is_removed(
    store: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    left = tmp_path / ".t.db.ab_c0123.restore"
    left.mkdir(mode=0o700)
    for name in names:
        (left / name).touch()
    restore(store, f"sqlite:///{tmp_path / 't.db'}", artifact_root=str(tmp_path / "root"))
    assert hidden(tmp_path) == []
