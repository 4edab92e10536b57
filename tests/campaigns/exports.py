"""Campaign A: exports of a server through a network with faults, each compared with one through none."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

from mlflow_archive.api.differences import ObjectChange, differences
from mlflow_archive.kinds import EXPERIMENT, IDENTITIES
from mlflow_archive.reader.archive import Archive, open_archive
from tests.campaigns.command import run
from tests.campaigns.faults import Fault
from tests.campaigns.faulty_proxy import faulty_proxy
from tests.campaigns.ground import Ground
from tests.campaigns.outcomes import Outcome, Trial, outcome_of
from tests.campaigns.store import FULL
from tests.support.reading import plain_rows

_ADDRESS: Final = re.compile(r"https?://[\w.:]+")
_ID: Final = re.compile(r"(?:m-|tr-)?[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"(?<!\()\b\d+(?:\.\d+)?\b")


def export_trial(ground: Ground, name: str, faults: tuple[Fault, ...], number: int) -> Trial:
    """Export once; the server must hold FULL."""
    with ground.trial_folder("export") as folder:
        return _trial(ground, name, faults, number, folder)


def _trial(ground: Ground, name: str, faults: tuple[Fault, ...], number: int, folder: Path) -> Trial:
    path = folder / "out.mlfa"
    with faulty_proxy(ground.store.server.uri, ground.plan(faults, "export", name, number)) as proxy:
        settings = ground.settings(faults)
        arguments = ("export", str(path), "--from", proxy.uri)
        ended = run(folder, *arguments, settings=settings, longest_seconds=ground.longest_seconds)
    outcome, reason = outcome_of(ended), "" if ended.code == 0 else f"exit code {ended.code}, {plain(ended.last_line)}"
    if outcome in (Outcome.COMPLETE, Outcome.SAID) and path.exists():
        silent = unsaid(ground.archive, path)
        if silent:
            outcome, reason = Outcome.WRONG, f"exit code {ended.code}, not said: {'; '.join(silent[:3])}"
    counts = Counter({"requests": proxy.requests, "spoilt": len(proxy.spoilt), "seconds": round(ended.seconds)})
    return Trial(name=name, outcome=outcome, reason=reason, counts=counts, faults=proxy.counts)


def plain(line: str) -> str:
    """Return a line without what differs from trial to trial, so that equal reasons are counted."""
    return _NUMBER.sub("N", _ID.sub("ID", _ADDRESS.sub("", line)))[:200]


def unsaid(expected: Path, path: Path) -> list[str]:
    """Return what an archive lacks or has otherwise, and does not name in a gap."""
    with open_archive(expected) as before, open_archive(path) as after:
        gaps = {(row["owner_kind"], row["owner_id"]) for row in plain_rows(after.table("gaps"))}
        experiments = _experiments(before)
        return [
            f"{change.kind} {change.change} {_fields(change)}"
            for change in differences(before, after)
            if not _is_told(change, gaps, experiments.get((change.kind, change.id)))
        ]


def _experiments(archive: Archive) -> dict[tuple[str, str], str]:
    """Return the experiment of each object that lies in one and has an id of its own."""
    places = {}
    for kind, identity in IDENTITIES.items():
        if kind != EXPERIMENT and "experiment_id" in identity.column_names and len(identity.owner) == 1:
            for row in plain_rows(archive.table(identity.name)):
                places[kind, row[identity.owner[0]]] = row["experiment_id"]
    return places


def _is_told(change: ObjectChange, gaps: set[tuple[str, str]], experiment_id: str | None) -> bool:
    """Return whether a gap names the object, its kind as a whole, or the experiment it lies in."""
    return bool({(change.kind, change.id), (change.kind, ""), (EXPERIMENT, experiment_id or "?")} & gaps)


def _fields(change: ObjectChange) -> str:
    return ", ".join(sorted({f"{field.table}.{field.field or 'row'}" for field in change.fields}))


def exports(ground: Ground, name: str, faults: tuple[Fault, ...], trials: int) -> list[Trial]:
    """Export some times."""
    ground.store.go_to(FULL)
    return [export_trial(ground, name, faults, number) for number in range(trials)]
