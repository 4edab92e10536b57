"""What a reading command loads, how long it takes to start, and that its help is complete."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mlflow_archive import __version__
from mlflow_archive.flow.copy import copy
from mlflow_archive.packing.pack import pack
from mlflow_archive.writer.export import ArchiveSink
from mlflow_archive_cli.main import _MODULES, _READING, commands
from tests.cli.conftest import PARENT, Command
from tests.support.chunks import ChunkSource, chunk, experiment, run
from tests.support.mlruns import Experiment, Store, write_store
from tests.support.signers import new_signer
from tests.support.terminal import on_a_terminal

ARGUMENTS = {
    "info": ["A"],
    "ls": ["A", "runs", "--metric", "loss<9", "--columns", "run_id,params.lr"],
    "show": ["A", "parent"],
    "cat": ["A", "parent/model/MLmodel"],
    "verify": ["A"],
    "extract": ["A", "parent", "--to", "T"],
    "compact": ["A", "-o", "T", "--keep-last", "1", "-q"],
    "pack": ["A", "--to", "T", "-q"],
    "unpack": ["V", "-o", "T", "-q"],
    "tree": ["A", "parent"],
    "report": ["A", "-o", "T", "-q"],
}
PROBE = """
import sys
from mlflow_archive_cli.main import leave, run
code = run(sys.argv[1:], own_process=True)
heavy = [name for name in ("mlflow", "pandas", "numpy", "requests", "sqlalchemy", "rich", "pyarrow.dataset")
         if sys.modules.get(name) is not None]
if heavy:
    print(heavy, file=sys.stderr)
leave(code or len(heavy))
"""


@pytest.mark.parametrize("name", sorted(_READING))
def test_reading_commands_load_nothing_heavy(name: str, archive: Path, tmp_path: Path) -> None:
    places = {"A": str(archive), "T": str(tmp_path / "to"), "V": str(tmp_path / "volumes")}
    if name == "unpack":
        pack(archive, tmp_path / "volumes")
    arguments = [places.get(value, value) for value in ARGUMENTS[name]]
    done = subprocess.run([sys.executable, "-c", PROBE, name, *arguments], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_export_loads_numpy_and_pandas_only_where_mlflow_needs_them(tmp_path: Path) -> None:
    write_store(Store(experiments=(Experiment(experiment_id="1", name="churn"),)), tmp_path / "mlruns")
    words = [sys.executable, "-c", PROBE, "export", str(tmp_path / "a"), "--from", str(tmp_path / "mlruns"), "-q"]
    done = subprocess.run(words, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"['requests']\n")
    done = subprocess.run([*words, "--append", "--filter", "params.lr = '0.1'"], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (4, b"['mlflow', 'pandas', 'numpy', 'requests']\n")


def test_reading_commands_start_in_half_a_second(archive: Path) -> None:
    def cpu_seconds() -> float:
        command = [sys.executable, "-m", "mlflow_archive_cli", "info", str(archive)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    # Processor time, the best of several: what else the machine does is not ours. `make bench` prints wall times.
    assert min(cpu_seconds() for _ in range(5)) < 0.5


def test_version(cli: Command) -> None:
    assert cli("--version").out == f"mlflow-archive {__version__}\n"


def all_commands() -> list[tuple[str, click.Command]]:
    context = click.Context(commands)
    found = [(name, commands.get_command(context, name)) for name in commands.list_commands(context)]
    return [(name, command) for name, command in found if command is not None]


@pytest.mark.parametrize(("name", "command"), all_commands())
def test_every_command_and_option_has_help_and_an_example(cli: Command, name: str, command: click.Command) -> None:
    assert command.name == name
    assert f"mlflow-archive {name} " in (command.help or "").split("Example:")[1]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.endswith("."), parameter.name
    shown = cli(name, "--help")
    assert shown.code == 0
    assert f"Usage: mlflow-archive {name} [OPTIONS]" in shown.out


EXAMPLES = [name for name in _MODULES if name != "serve"]  # that one runs in tests/api/test_serving.py


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_in_the_help_works(
    cli: Command, single_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    words = shlex.split((command.help or "").split("Example:")[1].strip().splitlines()[0])
    for archive in ("backup.mlfa", "monday.mlfa", "tuesday.mlfa"):
        if name != "export":
            shutil.copyfile(single_file, tmp_path / archive)
    monkeypatch.chdir(tmp_path)
    if name == "unpack":
        cli("pack", "backup.mlfa", "--to", "volumes")
        (tmp_path / "backup.mlfa").unlink()
    # In place of the server of an export a store on disk; a replay into servers is tested in tests/sinks.
    store = Store(experiments=(Experiment(experiment_id="1", name="churn 1"),))
    write_store(store, tmp_path / "mlruns")
    write_store(Store(experiments=(Experiment(experiment_id="1", name="churn 2"),)), tmp_path / "more")
    if name == "join":
        cli("export", "base.mlfa", "--from", tmp_path / "mlruns")
        (tmp_path / "base.mlfa").replace(tmp_path / "backup.mlfa")
        cli("export", "week-1.mlfa", "--base", "backup.mlfa", "--recheck", "--same-source", "--from", tmp_path / "more")
    if name == "redact":
        (tmp_path / "rules.toml").write_text("[[values]]\nkey = 'note'\naction = 'pseudonym'\n")
        (tmp_path / "key").write_text("0123456789abcdef")
    target = "sqlite:///mlflow.db"
    stand_in = {"4b1f0c": PARENT, "val/loss": "bad", "metrics.auc DESC": "-start_time"}
    stand_in["http://127.0.0.1:5000"] = str(tmp_path / "mlruns") if name in ("export", "copy") else target
    stand_in["http://127.0.0.1:5001"] = target
    if name == "sign":
        stand_in["~/.ssh/id_ed25519"] = str(new_signer(tmp_path, "ada").key)
    arguments = [re.sub(r"^4b1f0c", PARENT, stand_in.get(word, word)) for word in words[1:]]
    if name in ("redact", "restore"):  # of an archive that a restore takes; that of the others lacks ids, and has a gap
        cli("export", "other.mlfa", "--from", tmp_path / "mlruns")
        (tmp_path / "other.mlfa").replace(tmp_path / "backup.mlfa")
    if name in ("retire", "undo"):
        cli("export", "other.mlfa", "--from", tmp_path / "mlruns")
        cli("restore", "other.mlfa", "--to", target, "--artifact-root", tmp_path / "files")
        (tmp_path / "backup.mlfa").unlink()
        cli("export", "backup.mlfa", "--from", target)
    if name == "undo":
        retiring = ("retire", "backup.mlfa", "--from", target, "--older-than", "18mo", "--receipt", "retired.json")
        assert cli(*retiring, "--yes").code == 0
    ran = cli(*arguments)
    assert ran.code == 0, ran.err


def test_a_chart_takes_the_width_of_the_terminal(single_file: Path) -> None:
    shown, _ = on_a_terminal(["history", str(single_file), PARENT, "loss"], 70)
    assert "\x1b[" in shown
    assert "\x1b[48" not in shown  # the background is that of the terminal
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(len(line) for line in plain.splitlines()) == 70


def test_help_of_the_whole_names_every_command(cli: Command) -> None:
    shown = cli("--help").out
    for name, (_, summary) in _MODULES.items():
        assert f"  {name}" in shown
        assert summary in shown


def test_an_unknown_command_is_usage(cli: Command) -> None:
    ran = cli("exprot")
    assert ran.code == 2
    assert "there is no command 'exprot'; did you mean export?" in ran.err
    assert "No such command 'nothing'" in cli("nothing").err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_characters_gets_escapes(tmp_path: Path, encoding: str) -> None:
    named = run("a" * 32, "1", run_name="näme 日本")
    source = ChunkSource((0, [chunk(experiments=[experiment("1", "e")], runs=[named])]))
    copy(source, ArchiveSink(tmp_path / "x", tool="t", clock_ms=lambda: 0), jobs=1)
    command = [sys.executable, "-m", "mlflow_archive_cli", "ls", str(tmp_path / "x"), "runs", "--columns", "run_name"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ran = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.splitlines()[1] == "näme 日本".encode(encoding, "backslashreplace")


def test_a_closed_stdout_is_no_error(archive: Path) -> None:
    command = [sys.executable, "-m", "mlflow_archive_cli", "ls", str(archive), "runs", "--active"]
    ran = subprocess.run(["bash", "-c", f"{shlex.join(command)} >&-"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
