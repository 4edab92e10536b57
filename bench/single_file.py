"""`make bench-single-file`: an export of a database to a single file, beside the directory form and another version.

    make bench-single-file DATA=FOLDER OTHER=/path/to/another/bin/mlflow-archive

FOLDER has mlflow.db and artifacts (workload M of `bench.make_server`). The commands take turns, so that each meets the
same load. On a machine that is shared, the seconds of the processor and the bytes written say more than the wall.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Event, Thread
from typing import Final

from bench.measuring import BIN, ENVIRONMENT, HERE

EVERY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one export took: seconds, and MB of memory, of disk where the archive is, and written to the system."""

    wall: float
    user: float
    system: float
    memory: float
    disk: float
    written: float


class _Disk:
    """The most that the files below a folder took while it was watched."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ended, self.peak_bytes = folder, Event(), 0
        self._thread = Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            paths = [Path(folder, name) for folder, _, names in os.walk(self._folder) for name in names]
            self.peak_bytes = max(self.peak_bytes, sum(map(_taken, paths)))

    def end(self) -> float:
        """Return the most, in MB."""
        self._ended.set()
        self._thread.join()
        return self.peak_bytes / 1e6


def _taken(path: Path) -> int:
    """Return the bytes of disk that a file takes, which may be gone by now."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def export(command: Path, data: Path, target: Path, environment: dict[str, str]) -> Spent:
    """Export into a folder of its own, which is removed. Raises RuntimeError if the command fails."""
    target.parent.mkdir()
    words = [command, "export", target, "--from", f"sqlite:///{data}/mlflow.db", "-q"]
    words += ["--artifacts-destination", data / "artifacts"]
    disk = _Disk(target.parent)
    started = time.perf_counter()
    process = subprocess.Popen([str(word) for word in words], env=environment, stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - started
    counted = Path(f"/proc/{process.pid}/io").read_text("ascii")  # while it is waited for
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = disk.end()
    if process.returncode:
        raise RuntimeError(f"{words} ended with {process.returncode}")
    shutil.rmtree(target.parent)
    return Spent(
        wall=wall,
        user=usage.ru_utime,
        system=usage.ru_stime,
        memory=usage.ru_maxrss / 1024,
        disk=peak,
        written=int(dict(line.split(": ") for line in counted.splitlines())["write_bytes"]) / 1e6,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--other", type=Path, help="the command of another version")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    ours = BIN / "mlflow-archive"
    cases = {"single file": (ours, "a.mlfa"), "directory": (ours, "a")}
    if options.other:
        cases |= {"other, single file": (options.other, "a.mlfa"), "other, directory": (options.other, "a")}
    spent: dict[str, list[Spent]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.data) as folder:
        for _ in range(options.pairs):
            for name, (command, archive) in cases.items():
                spent[name].append(export(command, options.data, Path(folder, "target", archive), ENVIRONMENT))
    print(f"medians of {options.pairs}, load {os.getloadavg()[0]:.1f}; {HERE.parent}")
    print(f"{'':20}" + "".join(f"{field.name:>10}" for field in fields(Spent)))
    for name, found in spent.items():
        medians = [statistics.median(getattr(one, field.name) for one in found) for field in fields(Spent)]
        print(f"{name:20}" + "".join(f"{median:10.1f}" for median in medians))


if __name__ == "__main__":
    main()
