"""Campaign D: exports, imports and restores are killed at any moment and run again, with nothing in the way.

After that there must be what there is where nothing was killed, nothing twice, nothing left in the temporary folder or
beside the target; and of what was done before a kill at most five seconds may be missing in the receipt.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from mlflow_archive.api.differences import Comparison, differences
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from tests.campaigns.command import Command, Ended, run
from tests.campaigns.exports import plain
from tests.campaigns.faulty_proxy import FaultyProxy
from tests.campaigns.ground import Ground, must_end
from tests.campaigns.imports import altered, doubles_of
from tests.campaigns.outcomes import Outcome, Trial
from tests.campaigns.store import EMPTY

RECEIPT_SECONDS: Final = 5.0
"""How much work a receipt may not know of yet."""

_EARLIER_MOMENTS: Final = 4

_COLD_ONE_IN: Final = 10
"""Every so many trials the process that is killed is a new one, as a user starts it."""


class Job(Protocol):
    """Something to kill. Each trial has a folder with ``temporary``, the folder for temporary files, and ``out``."""

    name: str

    def prepare(self, folder: Path) -> None:
        """Make all as it is before the job."""
        ...

    def arguments(self, folder: Path) -> tuple[str, ...]:
        """Return the command."""
        ...

    def has_begun(self, folder: Path) -> bool:
        """Return whether work is under way: before that a kill is of no interest."""
        ...

    def damage(self, folder: Path) -> str:
        """Say what is broken right after a kill."""
        ...

    def keep(self, folder: Path) -> None:
        """Take what a job made that was not killed for what all others are compared with."""
        ...

    def difference(self, folder: Path) -> str:
        """Say what is otherwise than where nothing was killed."""
        ...

    def strangers(self, folder: Path) -> Iterator[Path]:
        """Yield what lies in ``out`` and does not belong there."""
        ...


class ExportJob:
    """An export of a database with a write-ahead log, which is copied at first as a live one must be."""

    name = "kills of export"

    def __init__(self, ground: Ground) -> None:
        self._files = ground.folder / "source-artifacts"
        self._database = ground.folder / "source.db"
        ground.store.copy_full(self._database, self._files)
        with closing(sqlite3.connect(self._database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        self._whole = Path()

    def prepare(self, folder: Path) -> None:
        (folder / "out").mkdir()

    def arguments(self, folder: Path) -> tuple[str, ...]:
        places = ("--from", f"sqlite:///{self._database}", "--artifacts-destination", str(self._files))
        return ("export", str(folder / "out/a.mlfa"), *places)

    def has_begun(self, folder: Path) -> bool:
        return any((folder / "temporary").iterdir()) or any((folder / "out").iterdir())

    def damage(self, folder: Path) -> str:
        path = folder / "out/a.mlfa"
        problems = verify(path).problems if path.exists() else []
        return f"the archive is damaged: {problems[0]}" if problems else ""

    def keep(self, folder: Path) -> None:
        self._whole = folder

    def difference(self, folder: Path) -> str:
        return _difference(self._whole / "out/a.mlfa", folder / "out/a.mlfa")

    def strangers(self, folder: Path) -> Iterator[Path]:
        return (path for path in (folder / "out").iterdir() if path.name != "a.mlfa")


class ImportJob:
    """An import into the empty server, through a proxy without faults, which sees the first request."""

    name = "kills of import"

    def __init__(self, ground: Ground, proxy: FaultyProxy) -> None:
        self._ground = ground
        self._proxy = proxy
        self._requests = 0

    def prepare(self, folder: Path) -> None:
        self._ground.store.go_to(EMPTY)
        (folder / "out").mkdir()
        self._requests = self._proxy.requests

    def arguments(self, folder: Path) -> tuple[str, ...]:
        receipt = str(folder / "receipt.json")
        return ("import", str(self._ground.archive), "--to", self._proxy.uri, "--receipt", receipt)

    def has_begun(self, folder: Path) -> bool:
        return self._proxy.requests > self._requests

    def damage(self, folder: Path) -> str:
        return ""

    def keep(self, folder: Path) -> None:
        self._ground.expect(self._ground.target(folder))

    def difference(self, folder: Path) -> str:
        content = self._ground.target(folder)
        return doubles_of(content) or altered(self._ground.imported(), content)

    def strangers(self, folder: Path) -> Iterator[Path]:
        return iter(())


class RestoreJob:
    """A restore into a SQLite file that is not there yet."""

    name = "kills of restore"

    def __init__(self, ground: Ground) -> None:
        self._archive = ground.archive
        self._whole = Path()

    def prepare(self, folder: Path) -> None:
        (folder / "out").mkdir()

    def arguments(self, folder: Path) -> tuple[str, ...]:
        places = ("--to", f"sqlite:///{folder / 'out/mlflow.db'}", "--artifact-root", str(folder / "out/artifacts"))
        return ("restore", str(self._archive), *places, "--receipt", str(folder / "receipt.json"))

    def has_begun(self, folder: Path) -> bool:
        return any((folder / "temporary").iterdir()) or any((folder / "out").iterdir())

    def damage(self, folder: Path) -> str:
        return ""

    def keep(self, folder: Path) -> None:
        self._whole = folder
        self._export(folder)

    def difference(self, folder: Path) -> str:
        if not (folder / "out/mlflow.db").exists():
            return "there is no database"
        self._export(folder)
        return _difference(self._whole / "back.mlfa", folder / "back.mlfa")

    def strangers(self, folder: Path) -> Iterator[Path]:
        expected = {path.relative_to(self._whole) for path in (self._whole / "out").rglob("*")}
        return (path for path in (folder / "out").rglob("*") if path.relative_to(folder) not in expected)

    def _export(self, folder: Path) -> None:
        places = ("--from", f"sqlite:///{folder / 'out/mlflow.db'}")
        must_end(run(folder / "back-export", "export", str(folder / "back.mlfa"), *places, warm=True), 0)


def _difference(expected: Path, path: Path) -> str:
    if not path.exists():
        return "there is no archive"
    with open_archive(expected) as before, open_archive(path) as after:
        changes = list(differences(before, after, Comparison(locations=False)))
    return f"{len(changes)} objects differ, such as {changes[0].kind} {changes[0].change}" if changes else ""


def _again(job: Job, folder: Path) -> Ended:
    return run(folder, *job.arguments(folder), settings=_settings(folder), warm=True)


def _settings(folder: Path) -> dict[str, str]:
    (folder / "temporary").mkdir(exist_ok=True)
    return {"TMPDIR": str(folder / "temporary")}


def _unkilled(job: Job, ground: Ground) -> float:
    """Have the job done for comparison; return how long it works, from its first sign of work to its end."""
    folder = ground.new_folder("unkilled")
    job.prepare(folder)
    command = Command(folder, *job.arguments(folder), settings=_settings(folder), warm=True)
    begin = _wait_for_work(job, command, folder)
    must_end(command.wait(ground.longest_seconds), 0)
    seconds = time.monotonic() - begin
    job.keep(folder)
    return seconds


def _wait_for_work(job: Job, command: Command, folder: Path) -> float:
    while not job.has_begun(folder) and command.is_running():
        time.sleep(0.005)
    return time.monotonic()


def kill_trial(job: Job, ground: Ground, longest: float, number: int) -> Trial:
    """Kill a job at a moment of its work, and run it again; if it ended before, all of it with an earlier moment."""
    moment = ground.chance(job.name, number).uniform(0, 0.9 * longest)
    for _ in range(_EARLIER_MOMENTS):
        with ground.trial_folder(job.name.replace(" ", "-")) as folder:
            trial = _trial(job, ground, moment, folder, warm=number % _COLD_ONE_IN != 0)
        if trial.counts["killed"]:
            break
        moment /= 2
    return trial


def _trial(job: Job, ground: Ground, moment: float, folder: Path, *, warm: bool) -> Trial:
    job.prepare(folder)
    command = Command(folder, *job.arguments(folder), settings=_settings(folder), warm=warm)
    begin = _wait_for_work(job, command, folder)
    killed = command.kill_at(begin + moment)
    counts = Counter({"killed": killed.code == -9, **_receipt(job, folder, killed, moment)})
    damage = job.damage(folder)
    ended = _again(job, folder) if killed.code == -9 else killed
    difference = job.difference(folder)
    # Whoever was killed between its commit and its end has left nothing to do: to say so is right.
    is_refused = ended.code != 0 and (bool(difference) or "already" not in ended.stderr)
    counts.update({"done before": int(ended.code != 0 and not is_refused), **_leftovers(job, folder)})
    reason = f"run again: exit code {ended.code}, {plain(ended.last_line)}" if is_refused else ""
    outcome = Outcome.FAILED if is_refused else Outcome.COMPLETE
    if wrong := damage or ("" if is_refused else difference):
        outcome, reason = Outcome.WRONG, wrong
    return Trial(name=job.name, outcome=outcome, reason=reason, counts=counts)


def _receipt(job: Job, folder: Path, killed: Ended, moment: float) -> Counter[str]:
    """Count whether a receipt was due, and whether there is one that can be read and is young enough."""
    is_due = killed.code == -9 and moment > RECEIPT_SECONDS and "--receipt" in job.arguments(folder)
    path = folder / "receipt.json"
    if not is_due:
        return Counter({"receipts due": 0, "receipts there": 0})
    is_young = path.exists() and time.time() - path.stat().st_mtime < RECEIPT_SECONDS + 1
    return Counter({"receipts due": 1, "receipts there": int(is_young and _is_json(path))})


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return True


def _leftovers(job: Job, folder: Path) -> Counter[str]:
    """Count what is left in the temporary folder and beside the target, and its bytes."""
    paths = [*(folder / "temporary").rglob("*"), *job.strangers(folder)]
    files = [path for path in paths if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return Counter({"with leftovers": bool(paths), "leftover files": len(files), "leftover KiB": size // 1024})


def kills(job: Job, ground: Ground, trials: int) -> list[Trial]:
    """Kill a job some times, at moments over most of its work: near the end, chance would have it end before."""
    longest = _unkilled(job, ground)
    return [_told(kill_trial(job, ground, longest, number), number) for number in range(trials)]


def _told(trial: Trial, number: int) -> Trial:
    """Print how a trial ended: hundreds take hours."""
    print(f"{trial.name} {number}: {trial.outcome} {trial.reason}".rstrip(), file=sys.stderr, flush=True)
    return trial
