"""The long form: ``python -m tests.campaigns [--seed SEED] [--runs NUMBER] [--kills NUMBER] [--only NAME …]``.

Prints a table for each campaign and a line for each reason why trials ended badly. The exit code is 0 where at least
nine of ten exports and imports through all kinds of faults are complete, and nothing is wrong, twice there, or left
behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.campaigns.exports import exports
from tests.campaigns.faults import Fault
from tests.campaigns.faulty_proxy import Plan, faulty_proxy
from tests.campaigns.ground import Ground, open_ground
from tests.campaigns.imports import imports
from tests.campaigns.kills import ExportJob, ImportJob, RestoreJob, kills
from tests.campaigns.outcomes import Outcome, Trial, faults_met, reasons, table
from tests.campaigns.pairs import pairs

MIXED: Final = "all kinds"
_KINDS: Final = ((MIXED, tuple(Fault)), *((fault.value, (fault,)) for fault in Fault))
_ALL_BUT_ONE_IN: Final = 10


def main() -> int:
    """Run what is asked for and return the exit code."""
    options = _arguments()
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    print(f"seed {options.seed}", flush=True)
    well = True
    with (
        tempfile.TemporaryDirectory(prefix="campaigns-", ignore_cleanup_errors=True) as name,
        open_ground(options.keep or Path(name), options.seed, extra_runs=options.extra_runs) as ground,
    ):
        ground.stall_seconds, ground.rate = options.stall, options.rate
        ground.keeps_folders = options.keep is not None
        for campaign in options.only or _ALL:
            for trials in _CAMPAIGNS[campaign](ground, options):
                well = _tell(campaign, trials) and well
    return 0 if well else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description="Campaigns through faults.")
    parser.add_argument("--seed", default="1", help="decides all chance")
    parser.add_argument("--runs", type=int, default=20, help="exports, imports and pairs of the mixed kind")
    parser.add_argument("--runs-of-each", type=int, default=2, help="exports and imports of each kind of fault alone")
    parser.add_argument("--kills", type=int, default=300, help="kills of each: export, import, restore")
    parser.add_argument("--extra-runs", type=int, default=40, help="how many more runs the store has")
    parser.add_argument("--rate", type=float, default=0.2, help="the share of requests that is spoilt")
    parser.add_argument("--stall", type=float, default=30.0, help="how many seconds a stall takes")
    parser.add_argument("--keep", type=_folder, metavar="FOLDER", help="have all that is written there, and keep it")
    parser.add_argument("--only", nargs="*", choices=list(_CAMPAIGNS), help="these campaigns")
    return parser.parse_args()


def _folder(text: str) -> Path:
    return Path(text).resolve()  # processes that have folders of their own get it


Campaign = Callable[[Ground, argparse.Namespace], Iterator[list[Trial]]]


def _number(name: str, options: argparse.Namespace) -> int:
    return int(options.runs if name == MIXED else options.runs_of_each)


def _exports(ground: Ground, options: argparse.Namespace) -> Iterator[list[Trial]]:
    yield [trial for name, faults in _KINDS for trial in exports(ground, name, faults, _number(name, options))]


def _imports(ground: Ground, options: argparse.Namespace) -> Iterator[list[Trial]]:
    yield [trial for name, faults in _KINDS for trial in imports(ground, name, faults, _number(name, options))]


def _pairs(ground: Ground, options: argparse.Namespace) -> Iterator[list[Trial]]:
    yield pairs(ground, options.runs)


def _kills(ground: Ground, options: argparse.Namespace) -> Iterator[list[Trial]]:
    for campaign in (_kills_of_export, _kills_of_import, _kills_of_restore):
        yield from campaign(ground, options)


def _kills_of_export(ground: Ground, options: argparse.Namespace) -> Iterator[list[Trial]]:
    yield kills(ExportJob(ground), ground, options.kills)


def _kills_of_import(ground: Ground, options: argparse.Namespace) -> Iterator[list[Trial]]:
    with faulty_proxy(ground.store.server.uri, Plan(seed="", faults=(), longest_seconds=86_400)) as proxy:
        yield kills(ImportJob(ground, proxy), ground, options.kills)


def _kills_of_restore(ground: Ground, options: argparse.Namespace) -> Iterator[list[Trial]]:
    yield kills(RestoreJob(ground), ground, options.kills)


_CAMPAIGNS: Final[Mapping[str, Campaign]] = {
    "exports": _exports,
    "imports": _imports,
    "pairs": _pairs,
    "kills": _kills,
    "kills-of-export": _kills_of_export,
    "kills-of-import": _kills_of_import,
    "kills-of-restore": _kills_of_restore,
}
_ALL: Final = ("exports", "imports", "pairs", "kills")


def _tell(campaign: str, trials: list[Trial]) -> bool:
    """Print a table; return whether all is as it must be."""
    print(f"\n{campaign}", *table(trials), *faults_met(trials), *reasons(trials), sep="\n", flush=True)
    mixed = [trial for trial in trials if trial.name == MIXED]
    short = sum(trial.outcome is not Outcome.COMPLETE for trial in mixed)
    bad = {Outcome.WRONG} if mixed else set(Outcome) - {Outcome.COMPLETE}
    missing = sum(trial.counts["receipts due"] - trial.counts["receipts there"] for trial in trials)
    leftovers = sum(trial.counts["with leftovers"] for trial in trials)
    wrong = any(trial.outcome in bad for trial in trials)
    return not (wrong or missing or leftovers or short * _ALL_BUT_ONE_IN > len(mixed))


if __name__ == "__main__":
    sys.exit(main())
