"""`make bench-single-file`: an export of a database to a single file, beside the directory form and another version.

    make bench-single-file DATA=FOLDER OTHER=/path/to/another/bin/mlflow-archive

FOLDER has mlflow.db and artifacts (workload M of `bench.make_server`). The commands take turns, so that each meets the
same load. On a machine that is shared, the seconds of the processor and the bytes written say more than the wall.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from threading import Event, Thread
from typing import Final

from bench.beside import compare
from bench.measuring import BIN, Measured, Work

EVERY_SECONDS: Final = 0.1


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


def export(work: Work) -> tuple[Measured, float]:
    """Export into a folder of its own; return also the most that this took, in MB."""
    folder = work.targets[0]
    disk = _Disk(folder)
    measured = work.run()
    return measured, disk.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--other", type=Path, help="the command of another version")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    ours = BIN / "mlflow-archive"
    cases = {"single file": (ours, "a.mlfa"), "directory": (ours, "a")}
    if options.other:
        cases["other, single file"] = (options.other, "a.mlfa")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.data) as folder:
        works = {name: exporting(*case, options.data, Path(folder)) for name, case in cases.items()}
        turns = [{name: export(work) for name, work in works.items()} for _ in range(options.pairs)]
    for name, goal in (("directory", 1.05), ("other, single file", 0.6)):
        if name in cases:
            compare("single file", [(turn["single file"][0], turn[name][0]) for turn in turns], name, goal)
    for name in cases:
        print(f"  {name}: disk at most {statistics.median(turn[name][1] for turn in turns):.0f} MB")


def exporting(command: Path, archive: str, data: Path, folder: Path) -> Work:
    """Return an export of data by a command into a folder below another."""
    target = folder / "target"
    words = [command, "export", target / archive, "--from", f"sqlite:///{data}/mlflow.db", "-q"]
    return Work(command=[*words, "--artifacts-destination", data / "artifacts"], targets=(target,))


if __name__ == "__main__":
    main()
