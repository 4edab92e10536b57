"""The long form: ``python -m tests.hostile [--seed SEED] [--mutants NUMBER] [--first NUMBER]``.

Each mutant is judged in a process of its own, forked from one that has imported everything, so that one that ends its
process is a line of the answer. The exit code is 0 where nothing is wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from tests.hostile.base import bases
from tests.hostile.judging import MAX_SECONDS, Ground, Judgement, judge, make_ground, reading, run_here, writing
from tests.hostile.mutants import make_mutant
from tests.spec.drafts import Files
from tests.support.session_folder import open_session_folder

_MOST_WORK: Final = 3 * MAX_SECONDS
"""Seconds of the processor without a word after which a process counts as hung, however busy the machine is."""

_PATIENCE: Final = 1200
"""Seconds without a word after which one that does nothing does."""

_A_FEW: Final = 50
"""After how many mutants the run says how far it is."""


class Trial:
    """A mutant under judgement in a process of its own; ``told`` is what that has said so far."""

    def __init__(self, files: tuple[Files, ...], number: int, seed: int, ground: Ground) -> None:
        context = multiprocessing.get_context("fork")
        self.number = number
        self.connection, other = context.Pipe(duplex=False)
        self._folder = tempfile.TemporaryDirectory(dir=ground.folder.parent, ignore_cleanup_errors=True)
        place = Path(self._folder.name) / "here"
        place.mkdir()
        own = replace(ground, folder=place)
        self._process: BaseProcess = context.Process(target=_judge, args=(files, number, seed, own, other))
        self._process.start()
        other.close()
        self.told: list[str] = []
        self._judgement: Judgement | None = None
        self._heard = self._now()

    def listen(self) -> bool:
        """Take what the process has said; return whether it has more to say."""
        try:
            word = self.connection.recv()
        except EOFError:
            return False
        self._heard = self._now()
        if isinstance(word, Judgement):
            self._judgement = word
        else:
            self.told.append(word)
        return True

    @property
    def hangs(self) -> bool:
        """Whether the process has said nothing for too long."""
        worked, passed = (now - heard for now, heard in zip(self._now(), self._heard, strict=True))
        return worked > _MOST_WORK or passed > _PATIENCE

    def _now(self) -> tuple[float, float]:
        """Return the seconds of the processor that the process has had, and the time."""
        return _seconds_of(self._process.pid), time.monotonic()

    def end(self) -> Judgement | str:
        """Wait for the process, or end it where it hangs; return its judgement, or how it ended without one."""
        if self.hangs:
            self._process.kill()
        self._process.join()
        self._folder.cleanup()
        if self._judgement is not None:
            return self._judgement
        return f"{self.told[:1]} ended with {self._process.exitcode} in {self.told[-1:]}"


def _seconds_of(pid: int | None) -> float:
    """Return the seconds of the processor that a process has had; 0 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Judge mutants and return the exit code."""
    options = _arguments()
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    files = bases()
    with tempfile.TemporaryDirectory(prefix="hostile-") as name, open_session_folder():
        ground = _ground(Path(name).resolve(), files)
        numbers = range(options.first, options.first + options.mutants)
        verdicts: Counter[str] = Counter()
        for trial in _trials(files, iter(numbers), options.seed, ground, options.jobs):
            found = trial.end()
            faults = [found] if isinstance(found, str) else found.faults
            verdicts["at fault" if faults else "dealt with"] += 1
            verdicts["sound for verify"] += not isinstance(found, str) and found.sound
            for fault in faults:
                print(f"{trial.number} [{' '.join(trial.told[:1])}] {fault}", flush=True)
            if (verdicts["at fault"] + verdicts["dealt with"]) % _A_FEW == 0:
                print(f"up to about {trial.number}: {dict(verdicts)}", flush=True)
    print(f"seed {options.seed}, {options.mutants} mutants from {options.first}: {dict(verdicts)}")
    return 1 if verdicts["at fault"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description="Hostile archives with right hashes.")
    parser.add_argument("--seed", type=int, default=1, help="decides all chance")
    parser.add_argument("--mutants", type=int, default=2000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    return parser.parse_args()


def _ground(folder: Path, files: tuple[Files, ...]) -> Ground:
    """Return the ground, everything imported: by every command on the sound archive, which must be right."""
    ground = make_ground(folder, files[0])
    for arguments in (*reading(ground.sound, ground), *writing(ground.sound, ground)):
        ran = run_here(arguments, ground)
        if ran.code or ran.error:
            sys.exit(f"{ran.name} ends with {ran.code} on the sound archive: {ran.err!r} {ran.error}")
    return ground


def _trials(files: tuple[Files, ...], numbers: Iterator[int], seed: int, ground: Ground, jobs: int) -> Iterator[Trial]:
    """Yield trials as they come to their end, so many under way at once."""
    trials: dict[Connection, Trial] = {}
    while True:
        while len(trials) < jobs and (number := next(numbers, None)) is not None:
            trial = Trial(files, number, seed, ground)
            trials[trial.connection] = trial
        if not trials:
            return
        ready = wait(list(trials), timeout=1)
        for connection, trial in list(trials.items()):
            if trial.hangs or (connection in ready and not trial.listen()):
                yield trials.pop(connection)


def _judge(files: tuple[Files, ...], number: int, seed: int, ground: Ground, connection: Connection) -> None:
    try:
        mutant = make_mutant(files, number, seed, ground.folder)
        connection.send(mutant.what)
        commands = [*reading(mutant.path, ground), *writing(mutant.path, ground)]
        connection.send(judge(mutant, ground, commands, begun=connection.send))
    except BaseException:
        connection.send(traceback.format_exc())
        os._exit(99)
    os._exit(0)  # without the end of threads that the fork did not bring along


if __name__ == "__main__":
    sys.exit(main())
