"""Campaign C: two imports of one archive into one empty server, started at once; one of each thing may be there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.campaigns.command import Command
from tests.campaigns.exports import plain
from tests.campaigns.ground import Ground
from tests.campaigns.imports import altered, doubles_of, not_mended
from tests.campaigns.outcomes import Outcome, Trial, outcome_of
from tests.campaigns.store import EMPTY

_KINDS = ("experiment", "run", "logged_model", "trace")
_TABLES = ("model_versions", "assessments")
"""What may be there more than once under numbers of the target, which nothing maps to a source."""


def pair_trial(ground: Ground, name: str) -> Trial:
    """Start a pair, wait for both, and look; where not all is well, import once more and look again."""
    with ground.trial_folder("pair") as folder:
        return _trial(ground, name, folder)


def _trial(ground: Ground, name: str, folder: Path) -> Trial:
    expected = ground.imported()
    ground.store.go_to(EMPTY)
    arguments = ("import", str(ground.archive), "--to", ground.store.server.uri)
    pair = [Command(folder / side, *arguments) for side in ("one", "two")]
    ends = [command.wait(ground.longest_seconds) for command in pair]
    outcome = max((outcome_of(ended) for ended in ends), key=list(Outcome).index)
    reason = "; ".join(f"exit code {ended.code}, {plain(ended.last_line)}" for ended in ends if ended.code)
    content = ground.target(folder)
    counts = Counter({f"{kind}s twice": content.doubles[kind] for kind in _KINDS})
    counts.update({f"{name} too many": max(0, content.counts[name] - expected.counts[name]) for name in _TABLES})
    wrong = doubles_of(content) or (outcome is Outcome.COMPLETE and altered(expected, content))
    mending = not_mended(ground, expected, folder / "again") if wrong or outcome is not Outcome.COMPLETE else ""
    if wrong or mending:
        outcome = Outcome.WRONG
        reason = "; ".join(part for part in (wrong or reason, mending and f"not mended: {mending}") if part)
    counts["not mended"] = bool(mending)
    return Trial(name=name, outcome=outcome, reason=reason, counts=counts)


def pairs(ground: Ground, trials: int) -> list[Trial]:
    """Start some pairs, one after the other."""
    return [pair_trial(ground, "pairs of imports") for _ in range(trials)]
