"""Selection by model, by kind and by trace filter: a database, and an archive of it, take the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import IDENTITIES, LOGGED_MODEL, REGISTERED_MODEL, RUN, SCORER, TABLES, TRACE, WEBHOOK
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from tests.support.databases import NOT_YET, PostgresServer
from tests.support.full_database import Everything, make_everything
from tests.support.mlflow_server import running_server
from tests.support.reading import Read, read_source
from tests.support.restoring import export, restore

ALWAYS = {"experiment", "workspace", "dataset"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """``hidden`` are kinds that a source does not show; ``versions`` of the model it shows, deleted ones included."""

    make: Callable[[], Source]
    names: dict[str, str]
    hidden: frozenset[str] = NOT_YET
    versions: int = 8
    always: frozenset[str] = frozenset(ALWAYS)

    def read(self, **selection: Any) -> Read:
        return read_source(self.make(), Selection(**selection))

    def taken(self, found: Read, kind: str) -> set[str]:
        """Return what came of a kind, by the names of ``everything`` or, where it has none there, its first key."""
        table = IDENTITIES[kind]
        ids = {row[table.key[0]] for row in found.tables[table.name]}
        return {next((name for name, each in self.names.items() if each == one), one) for one in ids}

    def kinds(self, found: Read) -> set[str | None]:
        return {kind for kind, table in IDENTITIES.items() if found.tables[table.name]}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    folder = tmp_path_factory.mktemp("selection")
    return make_everything(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@pytest.fixture(scope="module")
def in_postgresql(everything: Everything, postgres: PostgresServer) -> str:
    uri = postgres.new_database()
    restore(export(everything.uri, everything.folder.parent / "p.mlfa"), uri)
    return uri


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "archive", "server"])
def subject(request: pytest.FixtureRequest, everything: Everything) -> Iterator[Subject]:
    names = {name: each for name, each in everything.ids.items() if not name.endswith("uri")}
    if request.param == "archive":
        with open_archive(export(everything.uri, everything.folder.parent / "a.mlfa")) as archive:
            yield Subject(make=lambda: ArchiveSource(archive), names=names)
        return
    if request.param == "server":
        folder = everything.folder.parent / "server"
        with running_server(folder, backend=everything.uri, options=("--enable-workspaces",)) as server:
            # Its key for webhooks is not the one they were made with. Datasets are shown with the runs that took them.
            shown = frozenset({"experiment", "workspace"})
            yield Subject(
                make=lambda: locate_source(server.uri),
                names=names,
                hidden=NOT_YET | {WEBHOOK},
                versions=7,
                always=shown,
            )
        return
    uri = everything.uri if request.param == "sqlite" else request.getfixturevalue("in_postgresql")
    yield Subject(make=lambda: locate_source(uri), names=names)


def test_everything_comes_without_a_selection(subject: Subject) -> None:
    assert subject.kinds(subject.read()) == set(IDENTITIES) - subject.hidden


def test_every_kind_comes_behind_what_it_refers_to(subject: Subject) -> None:
    assert subject.read().too_late() == set()


@pytest.mark.parametrize(
    "kinds",
    [(RUN,), (TRACE,), (LOGGED_MODEL, REGISTERED_MODEL), (SCORER, WEBHOOK), tuple(k for k in IDENTITIES if k != TRACE)],
    ids=["runs", "traces", "models and registry", "scorers and webhooks", "without traces"],
)
def test_only_some_kinds(kinds: tuple[str, ...], subject: Subject) -> None:
    """Selection: experiments, workspaces and datasets come with what lies in them, whatever ``kinds`` says."""
    found = subject.read(kinds=kinds)
    with_runs = {"dataset"} if RUN in kinds else set()
    assert subject.kinds(found) == {*kinds, *subject.always, *with_runs} - subject.hidden
    owners = {row["owner_kind"] for name in ("fingerprints", "gaps") for row in found.tables[name]}
    assert owners <= set(kinds)
    assert {file.owner_kind for file in found.artifacts} <= set(kinds)
    for name, table in TABLES.items():
        if table.entity not in (*kinds, *ALWAYS, "*", None):
            assert found.tables[name] == [], name


@pytest.mark.parametrize("pattern", ["Shop 1", "Shop*", "*1"])
def test_models_bring_what_they_stand_on(pattern: str, subject: Subject) -> None:
    found = subject.read(models=(pattern,))
    assert subject.taken(found, REGISTERED_MODEL) == {"name"}
    assert len(found.rows("model_versions")) == subject.versions
    assert subject.taken(found, LOGGED_MODEL) == {"model", "runless"}
    # Those that versions name or lie in, and the one that made the logged model.
    assert subject.taken(found, RUN) == {"run", "other run", "deleted run"}
    assert subject.kinds(found) == {REGISTERED_MODEL, LOGGED_MODEL, RUN, *ALWAYS}
    assert {row["name"] for row in found.tables["experiments"]} == {"everything"}
    assert {row["name"] for row in found.tables["workspaces"]} == {"default", "team"}
    assert {file.owner_kind for file in found.artifacts} == {REGISTERED_MODEL, LOGGED_MODEL, RUN}


def test_a_prompt_stands_on_nothing(subject: Subject) -> None:
    found = subject.read(models=("prompt",))
    assert subject.kinds(found) == {REGISTERED_MODEL, "workspace"}
    assert len(found.rows("model_version_tags")) == 2


def test_models_and_kinds(subject: Subject) -> None:
    found = subject.read(models=("Shop 1", "prompt"), kinds=(REGISTERED_MODEL, LOGGED_MODEL))
    assert subject.taken(found, REGISTERED_MODEL) == {"name", "prompt"}
    assert subject.kinds(found) == {REGISTERED_MODEL, LOGGED_MODEL, *subject.always}


def test_deleted_ones_are_left_out_of_what_models_stand_on(subject: Subject) -> None:
    found = subject.read(models=("Shop 1",), deleted=False)
    assert subject.taken(found, RUN) == {"run", "other run"}


@pytest.mark.parametrize(
    "selection",
    [
        {"models": ("nobody",)},
        {"models": ("Shop 1", "x*"), "on_missing": "fail"},
        {"models": ("prompt",), "runs": ("0" * 32,)},
        {"trace_filter": "this is no filter"},
    ],
    ids=["name", "glob", "run elsewhere", "filter"],
)
def test_what_matches_nothing_is_refused_before_the_first_shard(selection: dict[str, Any], subject: Subject) -> None:
    with closing(subject.make()) as source:
        source.facts()
        with pytest.raises(SelectionError):
            next(source.plan(Selection(**selection), Quiet()))


class TestDatabase:
    """What only a database does."""

    def read(self, everything: Everything, **selection: Any) -> Read:
        with closing(locate_source(everything.uri)) as source:
            return read_source(source, Selection(**selection))

    def test_versions_carry_their_files_where_runs_do_not_come(self, everything: Everything) -> None:
        """A version's files are never lost for that its run or logged model was left out."""
        found = self.read(everything, models=("Shop 1",), kinds=(REGISTERED_MODEL,))
        versions = {file.path.partition("/")[0] for file in found.artifacts if file.owner_id == everything.ids["name"]}
        assert versions == {"1", "2", "3", "4", "5", "6"}

    @pytest.mark.parametrize(
        ("condition", "names"),
        [
            ("trace.status = 'IN_PROGRESS'", {"unfinished"}),
            ("trace.timestamp_ms < 1200000000000", {"archived"}),
            ("tags.`mlflow.traceName` = 'plain'", {"plain"}),
            ("trace.name LIKE 'in %' AND trace.timestamp > 1760000000000", {"in file"}),
            ("metadata.`mlflow.trace.session` = 's2'", set()),
            ("tags.long LIKE 'ttt%' AND trace.client_request_id = 'client plain'", {"plain"}),
            ("request_metadata.`mlflow.sourceRun` = 'no run'", set()),
            ("prompt = 'prompt/1'", {"plain"}),
            ("span.name = 'span 1'", {"in database", "archived", "plain"}),
            ("feedback.good = 'true'", {"plain"}),
            ("trace.text LIKE '%x%'", {"in database", "plain"}),
        ],
    )
    def test_trace_filter(self, condition: str, names: set[str], everything: Everything) -> None:
        found = self.read(everything, trace_filter=condition)
        assert {row["trace_id"] for row in found.tables["traces"]} == {everything.ids[name] for name in names}
        assert {row["trace_id"] for row in found.tables["spans"]} <= {row["trace_id"] for row in found.tables["traces"]}
        assert len(found.tables["runs"]) == 3

    def test_a_linked_run_counts_as_its_run(self, everything: Everything, tmp_path: Path) -> None:
        found = self.read(everything, trace_filter=f"trace.run_id = '{everything.ids['run']}'")
        assert len(found.tables["traces"]) == 5


def test_an_archive_refuses_a_trace_filter(everything: Everything, tmp_path: Path) -> None:
    path = export(everything.uri, tmp_path / "a.mlfa")
    with open_archive(path) as archive, pytest.raises(SelectionError, match="--trace-filter"):
        read_source(ArchiveSource(archive), Selection(trace_filter="trace.status = 'OK'"))
