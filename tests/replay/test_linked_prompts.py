"""The tag ``mlflow.linkedPrompts``: whatever names a prompt names it as it is called in the target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_archive.flow.copy import copy
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions, WorkspaceSink, open_target
from mlflow_archive.sinks.replay.writing.references import LINKED_PROMPTS, remap_linked_prompts
from tests.replay.conftest import Place
from tests.replay.looking import P, logged_models, runs
from tests.replay.small import logged_model, registered
from tests.support.chunks import ChunkSource, chunk, experiment, run
from tests.support.mlflow_server import running_server
from tests.support.restoring import export
from tests.support.tracking_uri import tracking_to


@dataclass(frozen=True, kw_only=True)
class Source:
    """An archive of a run, a logged model and a trace, each linked to versions of two prompts by MLflow's client."""

    archive: Path
    trace_id: str
    tag: str


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    folder = tmp_path_factory.mktemp("linked")
    with running_server(folder / "server") as server:
        with tracking_to(server.uri):
            source = _fill(server.backend, str(server.artifacts), folder / "all.mlfa")
        yield source


def _fill(backend: str, artifacts: str, archive: Path) -> Source:
    client = mlflow.MlflowClient()
    for name in ("greet", "greet", "part"):
        client.register_prompt(name, "Hello {{name}}")
    prompts = [client.get_prompt_version("greet", 2), client.get_prompt_version("part", 1)]
    main = mlflow.set_experiment("main").experiment_id
    made = client.create_run(main, run_name="linked")
    client.set_terminated(made.info.run_id)
    model = client.create_logged_model(main, "linked")
    client.finalize_logged_model(model.model_id, "READY")
    with mlflow.start_span("linked") as span:
        span.set_inputs("x")
    mlflow.flush_trace_async_logging()
    client.link_prompt_versions_to_trace(prompts, span.trace_id)
    for prompt in prompts:
        client.link_prompt_version_to_run(made.info.run_id, f"prompts:/{prompt.name}/{prompt.version}")
        client.link_prompt_version_to_model(prompt.name, str(prompt.version), model.model_id)
    tag = client.get_run(made.info.run_id).data.tags[LINKED_PROMPTS]
    assert json.loads(tag) == [{"name": "greet", "version": "2"}, {"name": "part", "version": "1"}]
    return Source(
        archive=export(backend, archive, artifacts_destination=artifacts), trace_id=str(span.trace_id), tag=tag
    )


def holders(place: Place, trace_id: str) -> dict[str, dict[str, str]]:
    """Return the tags of the three that are linked."""
    return {
        "run": runs(place, "main")["linked"].data.tags,
        "logged_model": logged_models(place, "main")["linked"].tags,
        "trace": place.client.get_trace(trace_id).info.tags,
    }


def outcomes(report: Any) -> dict[str, dict[str, int]]:
    return {**report.details["outcomes"], "run": {name: report.counts[name] for name in ("created", "updated")}}


def test_prompts_have_their_names_in_the_target(store_place: Place, linked: Source) -> None:
    renamed = {"greet": "welcome"}
    assert store_place.replay(linked.archive, rename_model=renamed).gaps == []
    welcome = store_place.name("welcome")
    expected = [{"name": welcome, "version": "2"}, {"name": store_place.name("part"), "version": "1"}]
    for kind, tags in holders(store_place, linked.trace_id).items():
        assert json.loads(tags[LINKED_PROMPTS]) == expected, kind
        assert tags[P + LINKED_PROMPTS] == linked.tag, "the source tag keeps the source's names"
    found = store_place.client.search_traces(
        locations=[store_place.experiment("main")], filter_string=f"prompt = '{welcome}/2'"
    )
    assert [trace.info.trace_id for trace in found] == [linked.trace_id]
    second = store_place.replay(linked.archive, rename_model=renamed)
    assert all(outcomes(second)[kind]["updated"] == 0 for kind in ("run", "logged_model", "trace"))


def test_where_no_name_changes_the_text_stays(server_place: Place, linked: Source) -> None:
    server_place.replay(linked.archive, model_prefix="", selection=Selection(kinds=("run", "logged_model")))
    for kind in ("run", "logged_model"):
        tags = runs(server_place, "main")["linked"].data.tags
        assert tags[LINKED_PROMPTS] == linked.tag, kind


def test_links_alone_lead_to_prompts_of_an_earlier_import(server_place: Place, linked: Source) -> None:
    server_place.replay(linked.archive, selection=Selection(kinds=("registered_model",)))
    server_place.replay(linked.archive, selection=Selection(kinds=("trace",)))
    condition = f"prompt = '{server_place.name('part')}/1'"
    found = server_place.client.search_traces(
        locations=[server_place.experiment("main")], filter_string=condition, include_spans=False
    )
    assert [trace.info.trace_id for trace in found] == [linked.trace_id]


def test_prompts_of_another_workspace_are_behind_its_name(store_place: Place) -> None:
    """A server without workspaces: the same name stands for another prompt in each."""
    team, value = "team", '[{"name": "greet", "version": "1"},  {"version": "2", "name": "kept"}]'
    ids = {"default": "a" * 32, team: "b" * 32}
    rows = {"5": "default", "6": team}
    first = chunk(experiments=[experiment(key, f"{store_place.prefix}/main", workspace=of) for key, of in rows.items()])
    entities = chunk(
        runs=[run(ids[of], key, run_name="linked") for key, of in rows.items()],
        tags=[{"run_id": one, "key": LINKED_PROMPTS, "value": value} for one in ids.values()],
    )
    models = chunk(
        logged_models=[logged_model(f"m-{'c' * 32}", "linked", experiment_id="6", source_run_id=ids[team])],
        logged_model_tags=[{"model_id": f"m-{'c' * 32}", "key": LINKED_PROMPTS, "value": value}],
    )
    prompts = chunk(
        registered_models=[registered("greet", workspace=of) for of in ids],
        registered_model_tags=[
            registered("greet", workspace=of, key="mlflow.prompt.is_prompt", value="true") for of in ids
        ],
    )
    workspaces = chunk(workspaces=[{"name": team}])
    source = ChunkSource((0, [workspaces]), (1, [first]), (2, [entities]), (3, [models]), (4, [prompts]))
    prefix = f"{store_place.prefix}-"
    options = ReplayOptions(model_prefix=prefix, rename_model={f"{team}/greet": "hello", "kept": "kept"})
    copy(source, WorkspaceSink(open_target(store_place.uri, artifact_root=store_place.artifact_root), options=options))
    client = store_place.client
    for name, of, greet in (("", "default", "greet"), (f"{team}/", team, f"{team}.hello")):
        found = client.get_experiment_by_name(f"{name}{store_place.prefix}/main")
        [held] = client.search_runs([found.experiment_id])
        kept = f"{prefix}{'team.' if of == team else ''}kept"
        expected = f'[{{"name": "{prefix}{greet}", "version": "1"}},  {{"version": "2", "name": "{kept}"}}]'
        assert held.data.tags[LINKED_PROMPTS] == expected, "nothing but the names changes"
        assert client._get_registry_client().get_registered_model(prefix + greet)
        for model in client.search_logged_models([found.experiment_id]):
            assert model.tags[LINKED_PROMPTS] == expected


@given(st.lists(st.tuples(st.text(), st.text())), st.booleans())
def test_remapping_is_that_of_the_json(entries: list[tuple[str, str]], ascii_only: bool) -> None:
    """MLflow's JSON list, whatever the names hold, with every name put behind a prefix."""
    held = [{"name": name, "version": version} for name, version in entries]
    value = json.dumps(held, ensure_ascii=ascii_only)
    remapped = remap_linked_prompts({LINKED_PROMPTS: value, "other": '{"name": "x"}'}, lambda name: f'"{name}')
    assert remapped["other"] == '{"name": "x"}'
    assert json.loads(remapped[LINKED_PROMPTS] or "") == [{**entry, "name": f'"{entry["name"]}'} for entry in held]
    assert remap_linked_prompts({LINKED_PROMPTS: value}, lambda name: name) == {LINKED_PROMPTS: value}


@pytest.mark.parametrize("value", ["", "no JSON", '[{"name": "\\x"}]', None])
def test_what_is_no_list_of_prompts_stays(value: str | None) -> None:
    assert remap_linked_prompts({LINKED_PROMPTS: value}, lambda name: "other") == {LINKED_PROMPTS: value}
