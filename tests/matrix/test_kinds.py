"""Every kind of object: what a server of each version takes, and what it gives. What it does not take is told."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from mlflow_archive.flow.report import Report
from mlflow_archive.format.refusals import KIND_REFUSED, SECRET_NEEDED
from mlflow_archive.kinds import DATASET, DEFAULT_WORKSPACE, EXPERIMENT, IDENTITIES, RUN, SKILL, TABLES, WORKSPACE
from mlflow_archive.reader.archive import open_archive
from tests.matrix.environments import NEWEST, VERSIONS, environment
from tests.sinks.filled_servers import export, replay
from tests.support.everything import fill
from tests.support.filling.skills import fill_skills
from tests.support.mlflow_server import running_server

NEW: Final = frozenset({"issue", "label_schema", "review_queue", "mcp_server", "budget_policy"})
"""Kinds that need nothing but experiments, or another one of these, and that no version before 3.17 has."""


@dataclass(frozen=True, kw_only=True)
class Imports:
    """Two imports of everything into a server, and how many objects of each kind the archive holds."""

    version: str
    held: dict[str, int]
    first: Report
    second: Report


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    with running_server(folder / "source", python=environment(NEWEST)) as source, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MLflow's own, of what it will not have for ever
        fill(source.uri, folder)
        fill_skills(source.uri)
        export(source.backend, folder / "archive.mlfa")
    return folder / "archive.mlfa"


@pytest.fixture(scope="module", params=VERSIONS)
def imports(request: pytest.FixtureRequest, everything: Path, tmp_path_factory: pytest.TempPathFactory) -> Imports:
    folder = tmp_path_factory.mktemp(request.param)
    with running_server(folder, python=environment(request.param)) as server:
        first, second = replay(everything, server.uri), replay(everything, server.uri)
    return Imports(version=request.param, held=held_in(everything), first=first, second=second)


def held_in(path: Path) -> dict[str, int]:
    """Return the number of objects of each kind, but for what every server has."""
    with open_archive(path) as archive:
        found = {kind: archive.table(table.name).num_rows for kind, table in IDENTITIES.items()}
        ours = [row["name"] for row in archive.table("workspaces").to_pylist()]
    found[WORKSPACE] = sum(name != DEFAULT_WORKSPACE for name in ours)
    return {kind: number for kind, number in found.items() if number and kind != DATASET}


def told(report: Report) -> Counter[str]:
    """Return how many objects of each kind the receipt tells of: done in some way, or left out as a kind."""
    details: Any = report.details
    kinds = {table.entity for table in TABLES.values()}  # versions of registered models are told of, too
    found = Counter({kind: sum(done.values()) for kind, done in details["outcomes"].items() if kind in kinds})
    found[RUN], found[EXPERIMENT] = len(details["runs"]), len(details["experiments"])
    for gap in report.gaps:
        number = re.match(r"(\d+) ", gap.reason)
        if gap.code == KIND_REFUSED and number and "of the archive" in gap.reason:
            found[gap.owner_kind] += int(number[1])
    return +found


def test_each_object_arrives_or_is_told(imports: Imports) -> None:
    assert told(imports.first) == imports.held
    assert told(imports.second) == imports.held


def test_runs_arrive_everywhere(imports: Imports) -> None:
    assert imports.first.counts["created"] == imports.held[RUN]
    assert not [gap for gap in imports.first.gaps if gap.owner_kind in (RUN, EXPERIMENT)]


def test_the_newest_takes_all_but_what_needs_a_secret_and_others_say_what_they_lack(imports: Imports) -> None:
    outcomes: Any = imports.first.details["outcomes"]
    lacks_skills = [gap for gap in imports.first.gaps if (gap.owner_kind, gap.code) == (SKILL, KIND_REFUSED)]
    assert bool(lacks_skills) == (imports.version != NEWEST)
    if imports.version in ("3.17", NEWEST):
        waiting = {gap.owner_kind for gap in imports.first.gaps if gap.code == SECRET_NEEDED}
        assert waiting >= {"gateway_secret", "model_definition", "gateway_endpoint", "scorer", "guardrail"}
        assert {kind for kind in NEW if outcomes[kind]["created"]} == NEW
        return
    refused = {gap.owner_kind: gap.reason for gap in imports.first.gaps if gap.code == KIND_REFUSED}
    for kind in NEW - {"budget_policy"}:  # one of these waits for an endpoint that is refused
        assert refused[kind].startswith(f"{imports.held[kind]} "), kind
        assert "does not know them" in refused[kind]
        assert not outcomes[kind]["created"]


def test_a_second_import_changes_nothing(imports: Imports) -> None:
    assert (imports.second.counts["created"], imports.second.counts["updated"]) == (0, 0)
    outcomes: Any = imports.second.details["outcomes"]
    assert {kind for kind, done in outcomes.items() if done["created"] or done["updated"]} == set()
