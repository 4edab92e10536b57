"""The same selection takes the same of the same content, whatever is read: each option alone, and many together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, Final

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.source import Source
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.http.transport import QuickAckAdapter
from mlflow_archive.kinds import EVALUATION_DATASET, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.kinds.version_source import TOMBSTONE
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
    LEAF,
    NAMES,
    PARENT,
    add_datasets,
    write_exim_folder,
    write_mlruns,
)
from tests.support.mlflow_server import running_server
from tests.support.reading import Read, read_source
from tests.support.remembered import RememberedAnswers
from tests.support.restoring import export, restore

SOURCES: Final = ("mlruns", "exim", "archive", "database", "server")
COMBINATIONS: Final = 200
HIDDEN_OF: Final = {"exim": HIDDEN_OF_EXIM, "mlruns": frozenset({"quiz", "exam"})}
Make = Callable[[], Source]
Answer = dict[str, set[str]] | str
"""The names of what came by table, or ``refused``."""

_KEYS: Final = {
    "experiments": "name",
    "runs": "run_id",
    "logged_models": "model_id",
    "traces": "trace_id",
    "registered_models": "name",
    "evaluation_datasets": "name",
}
ALL: Final = {
    "experiments": {"Default", "one", "two", "gone", "of prompts"},
    "runs": {"parent", "child", "erased", "judge", "ghost", "leaf"},
    "logged_models": {"shared", "own", "lonely", "stale", "trashed"},
    "traces": {"of parent", "alone", "crossed"},
    "registered_models": {"reg", "other", "hello"},
    "versions": {"reg/1", "reg/2", "other/1", "hello/1", "hello/2"},
    "evaluation_datasets": {"quiz", "exam"},
}
WITHOUT_REGISTRY: Final[dict[str, set[str]]] = {"registered_models": set(), "versions": set()}
NOTHING: Final[dict[str, set[str]]] = {name: set() for name in ALL}


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
    versions = {
        f"{row['name']}/{row['version']}"
        for row in result.tables["model_versions"]
        if row["current_stage"] != TOMBSTONE  # which servers do not show
    }
    return {**names, "versions": versions, "missing": {row["owner_id"] for row in result.rows("gaps", code="G501")}}


def differences(result: Answer, expected: Answer) -> dict[str, tuple[object, object]]:
    """Return what differs of two answers, by table."""
    if isinstance(result, str) or isinstance(expected, str):
        return {} if result == expected else {"answer": (result, expected)}
    return {name: (result[name], expected[name]) for name in expected if result[name] != expected[name]}


def seen_by(source: str, selection: dict[str, Any], expected: Answer) -> Answer:
    """Return what one source answers, of what one that holds everything does."""
    if source == "archive" and _is_refused_by_archives(selection, expected):
        return "refused"
    if source == "mlruns" and "evaluation_datasets" in selection:
        return "refused"  # it has none
    if isinstance(expected, str):
        return expected
    hidden = HIDDEN_OF.get(source, frozenset())
    return {name: values - hidden for name, values in expected.items()}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Make]]:
    folder = tmp_path_factory.mktemp("one-selection")
    store = write_mlruns(folder / "mlruns")
    exported = write_exim_folder(folder / "exported")
    database = f"sqlite:///{folder / 'mlflow.db'}"
    restore(export(str(store), folder / "store.mlfa"), database, artifact_root=str(folder / "artifacts"))
    add_datasets(folder / "mlflow.db")
    path = export(database, folder / "whole.mlfa")
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


OF_JUDGE: Final = {
    **NOTHING,
    "experiments": {"one", "two"},
    "runs": {"judge"},
    "logged_models": {"own", "shared"},
    "traces": {"crossed"},
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param({}, {}, id="all"),
        pytest.param(
            {"experiments": ("two",)},
            {
                **WITHOUT_REGISTRY,
                "experiments": {"two"},
                "runs": {"judge", "leaf"},
                "logged_models": {"own"},
                "traces": {"alone"},
                "evaluation_datasets": {"exam"},
            },
            id="experiment",
        ),
        pytest.param({"runs": (JUDGE,)}, OF_JUDGE, id="run"),
        pytest.param({"filter_string": "metrics.m > 1.5"}, OF_JUDGE, id="filter"),
        pytest.param(
            {"runs": (LEAF,), "parents": True},
            {
                **NOTHING,
                "experiments": {"one", "two"},
                "runs": {"leaf", "child", "parent"},
                "logged_models": {"shared", "trashed"},
                "traces": {"of parent"},
            },
            id="run with parents",
        ),
        pytest.param(
            {"filter_string": "attributes.run_name = 'parent'", "children": True},
            {
                **NOTHING,
                "experiments": {"one", "two"},
                "runs": {"leaf", "child", "parent"},
                "logged_models": {"shared", "trashed"},
                "traces": {"of parent"},
            },
            id="filter with children",
        ),
        pytest.param(
            {"runs": (CHILD,), "parents": True, "children": True, "experiments": ("one",)},
            {
                **NOTHING,
                "experiments": {"one"},
                "runs": {"child", "parent"},
                "logged_models": {"shared", "trashed"},
                "traces": {"of parent"},
            },
            id="run with relatives of one experiment",
        ),
        pytest.param(
            {"models": ("reg",)},
            {
                **NOTHING,
                "experiments": {"one", "two"},
                "runs": {"parent", "judge"},
                "logged_models": {"shared"},
                "registered_models": {"reg"},
                "versions": {"reg/1", "reg/2"},
            },
            id="model",
        ),
        *(
            pytest.param(
                {"models": ("reg",), **choice},
                {
                    **NOTHING,
                    "experiments": {"two"},
                    "runs": {"judge"},
                    "registered_models": {"reg"},
                    "versions": {"reg/2"},
                },
                id=f"model, {next(iter(choice))}",
            )
            for choice in ({"versions": ("reg=2",)}, {"stages": ("staging",)}, {"latest_versions": 1})
        ),
        pytest.param({"versions": ("1", "reg=2")}, {"versions": {"reg/2", "other/1", "hello/1"}}, id="versions"),
        pytest.param({"stages": ("Production",)}, {"versions": {"reg/1", "hello/1", "hello/2"}}, id="stages"),
        pytest.param({"latest_versions": 1}, {"versions": {"reg/2", "other/1", "hello/2"}}, id="latest versions"),
        pytest.param(
            {"registry": "models"},
            {"registered_models": {"reg", "other"}, "versions": {"reg/1", "reg/2", "other/1"}},
            id="without prompts",
        ),
        pytest.param(
            {"registry": "prompts", "kinds": (REGISTERED_MODEL,)},
            {**NOTHING, "registered_models": {"hello"}, "versions": {"hello/1", "hello/2"}},
            id="only prompts",
        ),
        pytest.param(
            {"models": ("h*",)},
            {
                **NOTHING,
                "experiments": {"of prompts"},
                "registered_models": {"hello"},
                "versions": {"hello/1", "hello/2"},
            },
            id="prompt",
        ),
        pytest.param(
            {"evaluation_datasets": ("e*",)},
            {**NOTHING, "experiments": {"two", "gone"}, "evaluation_datasets": {"exam"}},
            id="evaluation dataset",
        ),
        pytest.param(
            {"evaluation_datasets": ("quiz",), "runs": (LEAF,)},
            {**NOTHING, "experiments": {"one", "two"}, "runs": {"leaf"}, "evaluation_datasets": {"quiz"}},
            id="evaluation dataset and run",
        ),
        pytest.param(
            {"since_ms": 2_100_000},
            {
                **WITHOUT_REGISTRY,
                "runs": {"erased", "judge", "leaf"},
                "logged_models": {"own", "shared", "lonely", "stale"},
                "traces": {"alone", "crossed"},
            },
            id="since",
        ),
        pytest.param(
            {"until_ms": 2_000_000},
            {
                **WITHOUT_REGISTRY,
                "runs": {"parent", "ghost"},
                "logged_models": {"shared", "lonely"},
                "traces": {"of parent"},
            },
            id="until",
        ),
        pytest.param(
            {"deleted": False},
            {
                "experiments": {"Default", "one", "two", "of prompts"},
                "runs": {"parent", "child", "judge", "leaf"},
                "logged_models": {"shared", "own", "lonely"},
            },
            id="not deleted",
        ),
        pytest.param({"trace_filter": "trace.status = 'ERROR'"}, {"traces": set()}, id="trace filter"),
        *(
            pytest.param(
                {"kinds": (kind,)},
                {
                    **{name: set() for name in ALL if kind == REGISTERED_MODEL or name != "experiments"},
                    **{name: ALL[name] for name in (f"{kind}s", *(["versions"] if kind == REGISTERED_MODEL else ()))},
                },
                id=f"only {kind}",
            )
            for kind in (RUN, LOGGED_MODEL, TRACE, REGISTERED_MODEL, EVALUATION_DATASET)
        ),
    ],
)
def test_an_option_alone(
    source: str, selection: dict[str, Any], expected: dict[str, set[str]], subjects: dict[str, Make]
) -> None:
    names = seen_by(source, selection, {**ALL, **expected, "missing": set()})
    assert differences(answer(subjects[source], selection), names) == {}


def combinations() -> list[dict[str, Any]]:
    """Return selections of several options, the same ones each time."""
    chance = random.Random(13)  # noqa: S311 - no secret
    choices: dict[str, list[Any]] = {
        "experiments": [("one",), ("tw*", "no such*"), ("1", "gone"), ("2",), ("one", "two")],
        "runs": [(PARENT,), (JUDGE, GHOST), (CHILD, "f" * 32), (ERASED, PARENT), (JUDGE,), (LEAF,)],
        "parents": [True],
        "children": [True],
        "models": [("reg",), ("o*",), ("hello", "reg"), ("reg", "nobody"), ("*",)],
        "versions": [("1",), ("reg=2",), ("2", "other=1"), ("hello=2, 9",), ("7",)],
        "stages": [("Production",), ("none", "Staging"), ("Archived",)],
        "latest_versions": [1, 2],
        "registry": ["models", "prompts"],
        "evaluation_datasets": [("quiz",), ("e*", "nothing"), ("*",)],
        "filter_string": ["metrics.m > 0.5", "attributes.run_name LIKE '%e%'", "params.p = 'none'"],
        "trace_filter": ["trace.status = 'OK'", f"trace.run_id = '{JUDGE}'"],
        "kinds": [(RUN,), (TRACE, LOGGED_MODEL), (REGISTERED_MODEL, RUN), (TRACE,), (LOGGED_MODEL, REGISTERED_MODEL)],
        "since_ms": [1_000_000, 1_200_000, 2_100_000],
        "until_ms": [1_500_000, 2_500_000, 3_000_001],
        "deleted": [False],
        "on_missing": ["fail"],
    }
    selections: list[dict[str, Any]] = []
    while len(selections) < COMBINATIONS:
        names = chance.sample(sorted(choices), chance.randint(2, 5))
        selection = {name: chance.choice(choices[name]) for name in names}
        with suppress(SelectionError):  # versions of no model, relatives of no run
            Selection(**selection)
            selections.append(selection)
    return selections


@pytest.fixture(scope="module")
def answers_of_database(subjects: dict[str, Make]) -> list[Answer]:
    return [answer(subjects["database"], selection) for selection in combinations()]


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "database"])
def test_options_together(source: str, subjects: dict[str, Make], answers_of_database: list[Answer]) -> None:
    by_selection = {}
    for selection, expected in zip(combinations(), answers_of_database, strict=True):
        result = answer(subjects[source], selection)
        if differing := differences(result, seen_by(source, selection, expected)):
            by_selection[repr(selection)] = differing
    assert by_selection == {}


def _is_refused_by_archives(selection: dict[str, Any], expected: Answer) -> bool:
    """Return whether an archive refuses what other sources answer: filters, and names of which one is missing."""
    filtered = "filter_string" in selection or "trace_filter" in selection
    return filtered or expected == "refused" or bool(isinstance(expected, dict) and expected["missing"])
