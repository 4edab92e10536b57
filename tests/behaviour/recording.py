"""Run a command ``mlflow-archive``: all exports, and replays into real servers, each call of which is written down."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.behaviour.data import source_server
from tests.behaviour.dump import dump
from tests.behaviour.listening import Call, listening
from tests.behaviour.plain_calls import PlainCalls
from tests.support.mlflow_server import running_server

_SELECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "": (),
    "-experiment": ("--experiment", "main"),
    "-model": ("--model", "man*"),
    "-traces": ("--only", "traces", "--no-artifacts"),
    "-no-deleted": ("--no-deleted", "--without", "traces"),
}
"""What is taken of the filled server, over its API and from its database."""

_OF_STORE: Final[Mapping[str, tuple[str, ...]]] = {
    "": (),
    "-experiment": ("--experiment", "one"),
    "-model": ("--model", "man*"),
    "-no-deleted": ("--no-deleted",),
}

_EXIM_SAMPLES: Final = ("exim-00", "exim-11", "exim-14", "exim-18", "exim-21")

_PASSING: Final = re.compile(
    r"(?m)^(?:export|import): (?:starting|[^:\n]* of [^:\n]*|.* runs/s)\n"
    r"|^  (?:time|size)  .*\n|(?<=archive id)( +)[0-9a-f]{64}$"
)
"""What a command says that is another each time: how far it is, how long it took, size and id of the archive."""

_TURN: Final = b"mlflow_archive.import_turn"
_LOOK: Final = "/api/2.0/mlflow/experiments/get?"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """An archive that is replayed into an empty server, so many times in a row."""

    archive: str
    options: tuple[str, ...] = ()
    times: int = 1


_REPLAYS: Final[Mapping[str, Replay]] = {
    "everything": Replay(archive="database", times=2),
    "everything-dry": Replay(archive="database", options=("--dry-run",)),
    "everything-renamed": Replay(
        archive="database", options=("--experiment-prefix", "p/", "--model-prefix", "p-", "--spans-as-files")
    ),
    "everything-bare": Replay(archive="database", options=("--no-source-tags", "--user", "importer")),
    "model": Replay(archive="database", options=("--model", "man*")),
    "over-the-api": Replay(archive="rest", times=2),
    "mlruns": Replay(archive="mlruns", times=2),
    "exim": Replay(archive="exim", times=2),
}


def record(data: Path, out: Path, command: Path) -> None:
    """Write exports and calls below ``out``, which must not be there.

    The archives that are replayed are those of the first recording of ``data``, whichever command made them: what a
    replay calls is compared on the same input.
    """
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        _export_all(data, out / "exports", Path(work), command)
        archives = data / "archives"
        if not archives.exists():
            archives.mkdir()
            for name in sorted({replay.archive for replay in _REPLAYS.values()}):
                shutil.copyfile(Path(work, f"{name}.mlfa"), archives / f"{name}.mlfa")
        for name, replay in _REPLAYS.items():
            _replay(name, replay, archives, out / "replays", Path(work), command)


def _export_all(data: Path, out: Path, work: Path, command: Path) -> None:
    with source_server(data, work / "server") as server:
        names = {server.uri: "SERVER", str(data): "DATA", str(work): "WORK"}
        database = ("--artifacts-destination", str(server.artifacts))
        sources: dict[str, tuple[str, tuple[str, ...]]] = {}
        for suffix, options in _SELECTIONS.items():
            sources[f"rest{suffix}"] = (server.uri, options)
            sources[f"database{suffix}"] = (server.backend, (*database, *options))
        for suffix, options in _OF_STORE.items():
            sources[f"mlruns{suffix}"] = (str(data / "mlruns"), options)
        for folder in sorted(data.glob("mlruns-*")):
            sources[folder.name] = (str(folder), ())
        for name in ("exim", *_EXIM_SAMPLES):
            sources[name] = (f"exim:{data / name}", ())
        for name, (uri, options) in sources.items():
            archive = work / f"{name}.mlfa"
            said = _run(command, "export", str(archive), "--from", uri, "--jobs", "1", *options)
            _write(out / f"{name}.txt", said, names)
            if archive.exists():
                dump(archive, out / name, names)


def _replay(name: str, replay: Replay, archives: Path, out: Path, work: Path, command: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    archive, receipt = archives / f"{replay.archive}.mlfa", work / "receipt.json"
    calls = PlainCalls(archive)
    with running_server(work / f"target-{name}") as server, listening(server.uri) as listener:
        for number in range(1, replay.times + 1):
            begin = time.time()
            options = ("--jobs", "1", "--receipt", str(receipt), *replay.options)
            said = _run(command, "import", str(archive), "--to", listener.uri, *options)
            written = json.loads(receipt.read_text("utf-8")) if receipt.exists() else {}
            calls.learn(written)
            names = {listener.uri: "SERVER", str(archives): "ARCHIVES", str(work): "WORK"}
            text = [calls.plain(call, begin, time.time()) for call in listener.take() if not is_about_turns(call)]
            _write(out / f"{name}-{number}.calls.jsonl", "".join(f"{line}\n" for line in text), names)
            _write(out / f"{name}-{number}.txt", calls.plain_text(said, begin, time.time()), names)
            body = json.dumps(written, indent=1, sort_keys=True, ensure_ascii=False)
            _write(out / f"{name}-{number}.receipt.json", calls.plain_text(body, begin, time.time()), names)
            receipt.unlink(missing_ok=True)


def is_about_turns(call: Call) -> bool:
    """Return whether a call says that an import lives, or looks whether others do: how often is a matter of time."""
    return _TURN in call.body or call.path.startswith(_LOOK)


def without_passing(text: str) -> str:
    """Return what a command says without what is another each time."""
    return _PASSING.sub("", text)


def _run(command: Path, *arguments: str) -> str:
    """Run the command and return what it said and its exit code; 3 is that something was refused."""
    quiet = {"PYTHONHASHSEED": "0", "COLUMNS": "200", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    print(*arguments, flush=True)
    done = subprocess.run(
        [command, *arguments], env={**os.environ, **quiet}, check=False, capture_output=True, text=True, cwd="/"
    )
    return without_passing(f"{done.stdout}{done.stderr}exit code {done.returncode}\n")


def _write(path: Path, text: str, names: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for old, new in names.items():
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
