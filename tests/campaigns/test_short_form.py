"""The short form of the campaigns: a few trials of each, with a fixed seed. ``make test-campaigns`` runs the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.campaigns.exports import exports
from tests.campaigns.faults import Fault
from tests.campaigns.faulty_proxy import Plan, faulty_proxy
from tests.campaigns.ground import Ground, open_ground
from tests.campaigns.imports import imports
from tests.campaigns.kills import ExportJob, ImportJob, Job, RestoreJob, kills
from tests.campaigns.outcomes import Outcome, Trial, reasons
from tests.campaigns.pairs import pairs

pytestmark = pytest.mark.timeout(1200)

REFUSALS = (
    Fault.RESET_BEFORE,
    Fault.BUSY,
    Fault.BUSY_WITH_TIME,
    Fault.BAD_GATEWAY,
    Fault.UNAVAILABLE,
    Fault.GATEWAY_TIMEOUT,
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with open_ground(tmp_path_factory.mktemp("campaigns"), "short form 1") as opened:
        opened.stall_seconds = 4.0
        yield opened


def assert_all_complete(trials: list[Trial]) -> None:
    __tracebackhide__ = True
    assert Counter(trial.outcome for trial in trials) == {Outcome.COMPLETE: len(trials)}, reasons(trials)


def assert_none_wrong(trials: list[Trial]) -> None:
    __tracebackhide__ = True
    assert not [trial.reason for trial in trials if trial.outcome not in (Outcome.COMPLETE, Outcome.SAID)]


def test_an_export_gets_through_refusals(ground: Ground) -> None:
    trials = exports(ground, "refusals", REFUSALS, 1)
    assert_all_complete(trials)
    assert trials[0].faults.total() > 5


def test_an_export_gets_through_all_faults(ground: Ground) -> None:
    assert_all_complete(exports(ground, "all", tuple(Fault), 1))


def test_an_export_takes_no_empty_answer_for_an_empty_list(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "rate", 0.05)  # a higher one stops the export before it can lose something
    assert_none_wrong(exports(ground, "empty", (Fault.EMPTY,), 2))


@pytest.fixture(scope="module", params=["export", "import", "restore"])
def killed(request: pytest.FixtureRequest, ground: Ground) -> Iterator[list[Trial]]:
    with faulty_proxy(ground.store.server.uri, Plan(seed="", faults=())) as proxy:
        makers: dict[str, Callable[[], Job]] = {
            "export": lambda: ExportJob(ground),
            "import": lambda: ImportJob(ground, proxy),
            "restore": lambda: RestoreJob(ground),
        }
        yield kills(makers[request.param](), ground, 2 if request.param == "export" else 1)


def test_what_was_killed_is_completed_when_it_is_run_again(killed: list[Trial]) -> None:
    assert_all_complete(killed)


def test_a_kill_leaves_nothing_behind(killed: list[Trial]) -> None:
    assert [trial.counts["leftover files"] for trial in killed] == [0] * len(killed)


def test_an_import_gets_through_all_faults(ground: Ground) -> None:
    assert_all_complete(imports(ground, "all", tuple(Fault), 1))


def test_two_imports_at_once_make_one_of_each(ground: Ground) -> None:
    assert_all_complete(pairs(ground, 1))
