"""`make bench-road`: packing and unpacking, each beside the bare operation of the library that does the work.

File to file, both synced, each a whole process, in turn: the median of several pairs. Archives are of bytes that do
not compress. Results are kept in RESULTS.md. Wants a machine with nothing else to do: where all threads wait for a
processor, shares are those of processor time, and say little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyrage
from bench.measuring import Measured, Work, difference, in_turn, measure, tool

from mlflow_archive.packing.parity import program

_BARE = """
import os, sys, pyrage
verb, source, target, key = sys.argv[1:]
identity = pyrage.x25519.Identity.from_str(key)
if verb == "encrypt":
    pyrage.encrypt_file(source, target, [identity.to_public()])
else:
    pyrage.decrypt_file(source, target, [identity])
descriptor = os.open(target, os.O_RDWR)
os.fsync(descriptor)
"""
_SYNCED = """
import os, subprocess, sys
os.mkdir(sys.argv[1])
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
for name in os.listdir(sys.argv[1]):
    os.fsync(os.open(os.path.join(sys.argv[1], name), os.O_RDONLY))
"""


def encryption_figures(archive: Path, work: Path, rounds: int) -> None:
    """Print pack for one recipient in four volumes, and unpack, beside pyrage's own calls on the same file."""
    size, identity = archive.stat().st_size, pyrage.x25519.Identity.generate()
    key, age, plain, volumes, back = (work / name for name in ("key", "bare.age", "bare", "volumes", "back.mlfa"))
    key.write_text(f"{identity}\n")
    bare = [sys.executable, "-c", _BARE]
    for_one = ["--recipient", identity.to_public(), "--volume-size", size // 4 + 1, "-q"]
    packing = Work(command=tool("pack", archive, "--to", volumes, *for_one), targets=(volumes,))
    encrypting = Work(command=[*bare, "encrypt", archive, age, identity], targets=(age,))
    compare("pack", size, in_turn(rounds, packing, encrypting), 0.8)
    unpacking = Work(command=tool("unpack", volumes, "-o", back, "--identity", key, "-q"), targets=(back, plain))
    decrypting = Work(command=[*bare, "decrypt", age, plain, identity], targets=(plain, back))
    compare("unpack", size, in_turn(rounds, unpacking, decrypting), 0.8)
    for path in (age, plain, volumes):  # each as large as the archive
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def parity_figures(archive: Path, work: Path, rounds: int) -> None:
    """Print what parity adds to pack, beside the program's own call on the same volumes with as many blocks."""
    size, volumes, bare, own, made = (
        archive.stat().st_size,
        *(work / name for name in ("volumes", "bare", "own", "made")),
    )
    words = ["--volume-size", size // 4 + 1, "-q"]
    without = Work(command=tool("pack", archive, "--to", bare, *words), targets=(bare,))
    whole = Work(command=tool("pack", archive, "--to", volumes, *words, "--parity", "10%"), targets=(volumes,))
    without.run()
    own.mkdir()
    covered = [own / f"volume-{number}" for number in range(1, 5)]
    for path, volume in zip(covered, sorted(bare.glob("*.mlfa.[0-9]*")), strict=True):
        os.link(volume, path)
    block = max(4096, size // 20_000 // 4 * 4)
    command = [program(), "create", "-q", "-u", "-n1", f"-s{block}", "-r10", f"-B{own}", made / "own.par2", *covered]
    alone = Work(command=[sys.executable, "-c", _SYNCED, made, *command], targets=(made,))
    measured = [(difference(with_it, base), limit) for with_it, base, limit in in_turn(rounds, whole, without, alone)]
    compare("parity of 10 %", size, measured, 0.9)
    for folder in (volumes, bare, own, made):
        shutil.rmtree(folder)


def compare(what: str, size: int, measured: Sequence[tuple[Measured, ...]], goal: float) -> None:
    """Print the pair of ours and bare whose share of the bare rate is the median, and all shares."""
    pairs = sorted(measured, key=lambda pair: pair[1].seconds / pair[0].seconds)
    shares = [bare.seconds / ours.seconds for ours, bare in pairs]
    ours, bare = pairs[len(pairs) // 2]
    print(
        f"{what}, {size / 1e6:,.0f} MB: {shares[len(shares) // 2]:.2f} of the bare rate "
        f"({min(shares):.2f} to {max(shares):.2f}, goal {goal}); {size / 1e6 / ours.seconds:,.0f} MB/s; "
        f"wall {ours.seconds:.2f} and {bare.seconds:.2f} s; CPU {ours.cpu_seconds:.2f} and {bare.cpu_seconds:.2f} s; "
        f"{ours.peak_mb:.0f} and {bare.peak_mb:.0f} MB; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-parity", action="store_true")
    options = parser.parse_args()
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory(prefix="mlflow-archive-bench-") as name:
            work = Path(name)
            archive = work / "noise.mlfa"
            measure([sys.executable, "-m", "bench.noise", archive, megabytes * 1_000_000])
            encryption_figures(archive, work, options.rounds)
            if not options.without_parity:
                parity_figures(archive, work, options.rounds)


if __name__ == "__main__":
    main()
