"""How fast a scan is, what it finds of what was planted, and what it takes for a secret that is none.

    python -m bench.scanning [TUNING|HELD_OUT]

Rates are of one core, in processor time.
"""

from __future__ import annotations

import random
import sys
import time

from bench import planted

from mlflow_archive.scanning.archive import searcher

EACH = 200
LINES = 200_000


def measure_finds(name: str, seed: int) -> None:
    """Print how many lines of each form have a find."""
    search = searcher()
    forms: dict[str, planted.Draw] = getattr(planted, name)
    chance = random.Random(seed)  # noqa: S311 - made-up data
    hits = lines = 0
    for form, draw in forms.items():
        texts = [draw(chance) for _ in range(EACH)]
        found = {line for line, _ in search.file(["\n".join(texts).encode()])}
        hits, lines = hits + len(found), lines + EACH
        if len(found) not in (0 if name == "NOISE" else EACH, EACH):
            print(f"  {form}: {len(found)} of {EACH}")
        elif len(found) == (EACH if name == "NOISE" else 0):
            print(f"  {form}: {'all' if found else 'none'}")
    print(f"{name}: {hits} of {lines} lines")


def measure_rate() -> None:
    """Print the rate over log lines."""
    search = searcher()
    chance = random.Random(3)  # noqa: S311 - made-up data
    data = "\n".join(planted.log_line(chance) for _ in range(LINES)).encode()
    blocks = [data[at : at + 2**20] for at in range(0, len(data), 2**20)]
    started = time.process_time()
    finds = sum(1 for _ in search.file(blocks))
    seconds = time.process_time() - started
    print(f"log lines: {len(data) / 1e6:.0f} MB, {finds} finds, {len(data) / 1e6 / seconds:.0f} MB/s")


if __name__ == "__main__":
    measure_finds(sys.argv[1] if len(sys.argv) > 1 else "TUNING", seed=20 + len(sys.argv))
    measure_finds("NOISE", seed=7)
    measure_rate()
