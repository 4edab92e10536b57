"""The same selection takes the same of the same content, whatever is read: each option alone, and many together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.source import Source
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.http.transport import QuickAckAdapter
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.sources.rest import RestSource
from tests.contracts.selection_world import (
    CHILD,
    ERASED,
    GHOST,
    HIDDEN_OF_EXIM,
    JUDGE,
    NAMES,
    PARENT,
    write_exim_folder,
    write_mlruns,
)
from tests.support.mlflow_server import running_server
from tests.support.reading import Read, read_source
from tests.support.remembered import RememberedAnswers
from tests.support.restoring import export, restore

SOURCES: Final = ("mlruns", "exim", "archive", "database", "server")
COMBINATIONS: Final = 200
Make = Callable[[], Source]
Answer = dict[str, set[str]] | str
"""The names of what came by table, or ``refused``."""

_KEYS: Final = {
    "experiments": "name",
    "runs": "run_id",
    "logged_models": "model_id",
    "traces": "trace_id",
    "registered_models": "name",
}
ALL: Final = {
    "experiments": {"Default", "one", "two", "gone", "of prompts"},
    "runs": {"parent", "child", "erased", "judge", "ghost"},
    "logged_models": {"shared", "own", "lonely", "stale", "trashed"},
    "traces": {"of parent", "alone", "crossed"},
    "registered_models": {"reg", "other", "hello"},
}


def answer(make: Make, selection: dict[str, Any]) -> Answer:
    """Return the names of what a source gives for a selection, what it misses as well."""
    with closing(make()) as source:
        try:
            result = read_source(source, Selection(artifacts=False, **selection))
        except SelectionError:
            return "refused"
    return _names(result)


def _names(result: Read) -> dict[str, set[str]]:
    names = {table: {NAMES.get(row[key], row[key]) for row in result.tables[table]} for table, key in _KEYS.items()}
    return {**names, "missing": {row["owner_id"] for row in result.rows("gaps", code="G501")}}


def differences(result: Answer, expected: Answer) -> dict[str, tuple[object, object]]:
    """Return what differs of two answers, by table."""
    if isinstance(result, str) or isinstance(expected, str):
        return {} if result == expected else {"answer": (result, expected)}
    return {name: (result[name], expected[name]) for name in expected if result[name] != expected[name]}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Make]]:
    folder = tmp_path_factory.mktemp("one-selection")
    store = write_mlruns(folder / "mlruns")
    exported = write_exim_folder(folder / "exported")
    path = export(str(store), folder / "whole.mlfa")
    database = f"sqlite:///{folder / 'mlflow.db'}"
    restore(path, database, artifact_root=str(folder / "artifacts"))
    with (
        open_archive(path) as archive,
        running_server(folder / "server", backend=database) as server,
        closing(QuickAckAdapter()) as adapter,
    ):
        answers = RememberedAnswers(adapter)  # nobody changes the store, and a server takes its time
        yield {
            "mlruns": lambda: locate_source(str(store)),
            "exim": lambda: locate_source(f"exim:{exported}"),
            "archive": lambda: ArchiveSource(archive),
            "database": lambda: locate_source(database),
            "server": lambda: RestSource(TrackingSession(server.uri, transport=answers)),
        }


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param({}, {}, id="all"),
        pytest.param(
            {"experiments": ("two",)},
            {
                "experiments": {"two"},
                "runs": {"judge"},
                "logged_models": {"own"},
                "traces": {"alone"},
                "registered_models": set(),
            },
            id="experiment",
        ),
        pytest.param(
            {"runs": (JUDGE,)},
            {
                "experiments": {"one", "two"},
                "runs": {"judge"},
                "logged_models": {"own", "shared"},
                "traces": {"crossed"},
                "registered_models": set(),
            },
            id="run",
        ),
        pytest.param(
            {"filter_string": "metrics.m > 1.5"},
            {
                "experiments": {"one", "two"},
                "runs": {"judge"},
                "logged_models": {"own", "shared"},
                "traces": {"crossed"},
                "registered_models": set(),
            },
            id="filter",
        ),
        pytest.param(
            {"models": ("reg",)},
            {
                "experiments": {"one", "two"},
                "runs": {"parent", "judge"},
                "logged_models": {"shared"},
                "traces": set(),
                "registered_models": {"reg"},
            },
            id="model",
        ),
        pytest.param(
            {"models": ("h*",)},
            {
                "experiments": {"of prompts"},
                "runs": set(),
                "logged_models": set(),
                "traces": set(),
                "registered_models": {"hello"},
            },
            id="prompt",
        ),
        pytest.param(
            {"since_ms": 2_100_000},
            {
                "runs": {"erased", "judge"},
                "logged_models": {"own", "shared", "lonely", "stale"},
                "traces": {"alone", "crossed"},
                "registered_models": set(),
            },
            id="since",
        ),
        pytest.param(
            {"until_ms": 2_000_000},
            {
                "runs": {"parent", "ghost"},
                "logged_models": {"shared", "lonely"},
                "traces": {"of parent"},
                "registered_models": set(),
            },
            id="until",
        ),
        pytest.param(
            {"deleted": False},
            {
                "experiments": {"Default", "one", "two", "of prompts"},
                "runs": {"parent", "child", "judge"},
                "logged_models": {"shared", "own", "lonely"},
            },
            id="not deleted",
        ),
        pytest.param({"trace_filter": "trace.status = 'ERROR'"}, {"traces": set()}, id="trace filter"),
        *(
            pytest.param(
                {"kinds": (kind,)},
                {name: set() for name in ALL if name not in (f"{kind}s", kind != REGISTERED_MODEL and "experiments")},
                id=f"only {kind}",
            )
            for kind in (RUN, LOGGED_MODEL, TRACE, REGISTERED_MODEL)
        ),
    ],
)
def test_an_option_alone(
    source: str, selection: dict[str, Any], expected: dict[str, set[str]], subjects: dict[str, Make]
) -> None:
    if source == "archive" and {"filter_string", "trace_filter"} & selection.keys():
        assert answer(subjects[source], selection) == "refused"
        return
    hidden = HIDDEN_OF_EXIM if source == "exim" else frozenset()
    names = {name: values - hidden for name, values in {**ALL, **expected}.items()}
    assert differences(answer(subjects[source], selection), {**names, "missing": set()}) == {}


def combinations() -> list[dict[str, Any]]:
    """Return selections of several options, the same ones each time."""
    chance = random.Random(13)  # noqa: S311 - no secret
    choices: dict[str, list[Any]] = {
        "experiments": [("one",), ("tw*", "no such*"), ("1", "gone"), ("2",), ("one", "two")],
        "runs": [(PARENT,), (JUDGE, GHOST), (CHILD, "f" * 32), (ERASED, PARENT), (JUDGE,)],
        "models": [("reg",), ("o*",), ("hello", "reg"), ("reg", "nobody"), ("*",)],
        "filter_string": ["metrics.m > 0.5", "attributes.run_name LIKE '%e%'", "params.p = 'none'"],
        "trace_filter": ["trace.status = 'OK'", f"trace.run_id = '{JUDGE}'"],
        "kinds": [(RUN,), (TRACE, LOGGED_MODEL), (REGISTERED_MODEL, RUN), (TRACE,), (LOGGED_MODEL, REGISTERED_MODEL)],
        "since_ms": [1_000_000, 1_200_000, 2_100_000],
        "until_ms": [1_500_000, 2_500_000, 3_000_001],
        "deleted": [False],
        "on_missing": ["fail"],
    }
    selections = []
    for _ in range(COMBINATIONS):
        names = chance.sample(sorted(choices), chance.randint(2, 4))
        selections.append({name: chance.choice(choices[name]) for name in names})
    return selections


@pytest.fixture(scope="module")
def answers_of_database(subjects: dict[str, Make]) -> list[Answer]:
    return [answer(subjects["database"], selection) for selection in combinations()]


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "database"])
def test_options_together(source: str, subjects: dict[str, Make], answers_of_database: list[Answer]) -> None:
    by_selection = {}
    for selection, expected in zip(combinations(), answers_of_database, strict=True):
        refused = source == "archive" and _is_refused_by_archives(selection, expected)
        result = answer(subjects[source], selection)
        if differing := differences(result, "refused" if refused else _without_hidden(expected, source)):
            by_selection[repr(selection)] = differing
    assert by_selection == {}


def _is_refused_by_archives(selection: dict[str, Any], expected: Answer) -> bool:
    """Return whether an archive refuses what other sources answer: filters, and names of which one is missing."""
    filtered = "filter_string" in selection or "trace_filter" in selection
    return filtered or expected == "refused" or bool(isinstance(expected, dict) and expected["missing"])


def _without_hidden(expected: Answer, source: str) -> Answer:
    if source != "exim" or isinstance(expected, str):
        return expected
    return {name: values - HIDDEN_OF_EXIM for name, values in expected.items()}
