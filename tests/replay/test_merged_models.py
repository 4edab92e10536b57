"""Versions appended to registered models and prompts that the target has otherwise (``merge_models``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.flow.report import Report
from mlflow_archive.format import refusals
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from tests.replay.conftest import Place
from tests.replay.dev_and_prod import LINKED, PROMPT, dev, linked, make_prod, registry, written
from tests.replay.looking import aliases, logged_models, own_tags, runs
from tests.replay.small import registered, version
from tests.sinks.replayed import Cut, dying
from tests.sinks.replayed_traces import new_id
from tests.support.chunks import ChunkSource, chunk
from tests.support.cuts import every
from tests.support.mlflow_server import MlflowServer, running_server

P = "mlflow_export_import."
KEPT = "kept as in the target"


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server of its own: proofs read all of it."""
    with running_server(tmp_path_factory.mktemp("merged") / "server") as server:
        yield server


@pytest.fixture
def prod(server_place: Place) -> Place:
    """A target that has a model and a prompt; an import gives no names of its own."""
    make_prod(server_place, server_place.prefix)
    return server_place


def merge(place: Place, archive: Path, **options: Any) -> Report:
    return ma.import_archive(archive, place.uri, options=ReplayOptions(**{"merge_models": True, **options}))


def versions(place: Place, name: str) -> dict[int, Any]:
    registry_client = place.client._get_registry_client()
    condition = f"name='{place.prefix}-{name}'" + (f" AND tags.`{PROMPT}` = 'true'" if name == "ask" else "")
    found = registry_client.search_model_versions(condition, max_results=100)
    return {int(v.version): registry_client.get_model_version(v.name, str(v.version)) for v in found}


def held(place: Place, name: str) -> Any:
    return place.client._get_registry_client().get_registered_model(f"{place.prefix}-{name}")


def everything(place: Place) -> dict[str, Any]:
    """Return what the registry holds of a test, times of changes, too."""
    found: dict[str, Any] = {}
    for name in ("churn", "ask", "a-copy"):
        model = held(place, name)
        found[name] = (model.description, model.tags, aliases(model), model.last_updated_timestamp)
        found[f"{name} versions"] = {number: dict(v) for number, v in versions(place, name).items()}
    return found


def details(report: Report, name: str) -> Any:
    return report.details[name]


def test_versions_take_the_next_numbers_and_what_names_them_follows(prod: Place, tmp_path: Path) -> None:
    name, trace_id = prod.prefix, new_id()
    archive = written(dev(name, trace_id), tmp_path / "a.mlfa")
    before = {number: dict(v) for number, v in versions(prod, "churn").items()}
    planned = merge(prod, archive, dry_run=True)
    assert {number: dict(v) for number, v in versions(prod, "churn").items()} == before

    report = merge(prod, archive)
    assert report.gaps == []
    numbers = {"1": 5, "2": 6, "4": 7}
    expected = {f"{name}-churn/{number}": f"{name}-churn/{there}" for number, there in numbers.items()}
    expected |= {f"{name}-ask/1": f"{name}-ask/4", f"{name}-ask/2": f"{name}-ask/5"}
    expected |= {f"{name}-a-copy/1": f"{name}-a-copy/1"}
    assert details(report, "ids")["model_version"] == expected
    assert details(planned, "outcomes")["model_version"] == details(report, "outcomes")["model_version"]
    assert details(planned, "changed")["versions_with_other_numbers"] == 5

    found = versions(prod, "churn")
    aliased = {number: {**version, "aliases": found[number].aliases} for number, version in before.items()}
    assert {number: dict(found[number]) for number in before} == aliased, "those of the target stay"
    assert {found[there].tags[f"{P}model_version.version"]: there for there in (5, 6, 7)} == numbers
    assert [found[there].description for there in (5, 6, 7)] == ["V1", "V2", "V4"]
    made = logged_models(prod, "main")["made"]
    only = runs(prod, "main")["only"]
    assert (found[5].source, found[6].source) == (f"models:/{made.model_id}", f"runs:/{only.info.run_id}/model")
    assert found[6].run_id == only.info.run_id
    assert [v.source for v in versions(prod, "a-copy").values()] == [f"models:/{name}-churn/6"]

    model = held(prod, "churn")
    assert (model.description, own_tags(model.tags)) == ("Prod.", {"team": "prod", "own": "1", "new": "1"})
    assert own_tags(model.tags) == model.tags, "it is no copy of the source's model"
    assert aliases(model) == {"champion": 1, "stable": 2, "fresh": 7}
    ask = held(prod, "ask")
    assert aliases(ask) == {"production": 1}
    assert ask._tags["_mlflow_experiment_ids"] == f",0,{only.info.experiment_id},"

    tag = linked(f"{name}-ask", 4, 5)
    assert only.data.tags[LINKED] == tag
    assert made.tags[LINKED] == tag
    [found_trace] = prod.client.search_traces(locations=[only.info.experiment_id], include_spans=False)
    assert found_trace.info.tags[LINKED] == tag
    assert only.data.tags[P + LINKED] == linked(f"{name}-ask", 1, 2), "the source tag has the source's numbers"
    for number, ids in {5: [trace_id], 2: []}.items():
        condition = f"prompt = '{name}-ask/{number}'"
        traces = prod.client.search_traces(
            locations=[only.info.experiment_id], filter_string=condition, include_spans=False
        )
        assert [trace.info.trace_id for trace in traces] == ids

    assert details(report, "kept_here_only")["registered_model"] == {
        f"{name}-churn": {"tags": {"team": "dev"}, "description": "Dev.", "aliases": {"champion": 2}},
        f"{name}-ask": {"aliases": {"production": 2}},
    }
    assert details(report, "changed")["aliases_kept_as_in_target"] == 2
    notes = details(report, "notes")
    assert f"versions of '{name}-churn' are appended to '{name}-churn': 1 is 5, 2 is 6, 4 is 7" in notes
    stays = f"the alias 'champion' of '{name}-churn' stays at version 1 of the target; --move-aliases sets it to 6"
    assert stays in notes


@pytest.mark.parametrize("options", [{}, {"source_tags": False}, {"move_aliases": True}])
def test_a_repeat_doubles_nothing_and_is_proved(
    options: dict[str, Any], prod: Place, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    name, trace_id = prod.prefix, new_id()
    archive = written(dev(name, trace_id), tmp_path / "a.mlfa")
    first = merge(prod, archive, **options)
    there = everything(prod)
    moved = {"champion": 6, "stable": 2, "fresh": 7}
    assert there["churn"][2] == (moved if options.get("move_aliases") else {**moved, "champion": 1})
    again = merge(prod, archive, **options)
    assert (first.gaps, again.gaps) == ([], [])
    assert everything(prod) == there
    outcomes = {**details(again, "outcomes"), "run": dict(again.counts)}
    for kind in ("run", "logged_model", "trace", "registered_model", "model_version"):
        assert (outcomes[kind]["created"], outcomes[kind]["updated"]) == (0, 0), kind
    assert details(again, "ids") == details(first, "ids")
    assert details(again, "kept_here_only") == details(first, "kept_here_only")

    if not options:
        proof = ma.diff(archive, prod.uri, imported=True, receipt=[first, again])
        assert [*proof.changes, *proof.refused] == []
        kept = {(entry["place"], entry["count"]) for entry in proof.not_counted if entry["rule"] == KEPT}
        assert kept == {
            ("registered_models.description", 1),
            ("registered_model_tags.value", 1),
            ("registered_model_aliases.version", 2),
        }
    receipt = again if options else None  # the source tags say it all
    proof = ma.diff(archive, mlflow_server.backend, imported=True, receipt=receipt, artifacts=False)
    assert [*proof.changes, *proof.refused] == [], "the database shows versions that are deleted, too"


def test_every_change_of_a_merged_model_is_found(prod: Place, mlflow_server: MlflowServer, tmp_path: Path) -> None:
    name, client = prod.prefix, prod.client
    archive = written(dev(name, new_id()), tmp_path / "a.mlfa")
    receipt = merge(prod, archive)
    model, tags = f"{name}-churn", {**versions(prod, "churn")[5].tags}
    run_id = runs(prod, "main")["only"].info.run_id
    client.update_registered_model(model, description="Of prod, other.")
    client.set_registered_model_alias(model, "stable", "3")
    client.set_registered_model_tag(model, "own", "2")
    proof = ma.diff(archive, mlflow_server.backend, imported=True, receipt=receipt, artifacts=False)
    assert proof.changes == (), "what is the target's own is its own"

    client.update_model_version(model, "5", "Other.")
    client.set_registered_model_alias(model, "fresh", "2")
    client.set_registered_model_tag(model, "new", "2")
    client.set_tag(run_id, LINKED, linked(f"{name}-ask", 1, 2))
    client.create_model_version(model, "s3://bucket/double", tags=tags, await_creation_for=0)
    client.delete_model_version(model, "6")
    changes = ma.diff(archive, mlflow_server.backend, imported=True, receipt=receipt, artifacts=False).changes
    found = {(change.kind, field.table, field.field) for change in changes for field in change.fields}
    assert found == {
        ("run", "tags", "value"),
        ("registered_model", "registered_model_tags", "value"),
        ("registered_model", "registered_model_aliases", "version"),
        ("registered_model", "model_versions", "description"),
        ("registered_model", "model_versions", ""),
        ("registered_model", "model_version_tags", ""),
    }
    rows = {
        (field.key["version"], field.before is None)
        for change in changes
        for field in change.fields
        if field.table == "model_versions" and not field.field
    }
    assert rows == {(-2, False), (8, True)}, "version 2 of the source is missing, and 8 is there twice"


def test_names_that_were_given_are_found_without_a_receipt(
    server_place: Place, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    source, target = f"{server_place.prefix}-dev", server_place.prefix
    make_prod(server_place, target)
    archive = written(dev(source, new_id()), tmp_path / "a.mlfa")
    report = merge(server_place, archive, rename_model={f"{source}*": f"{target}*"})
    assert details(report, "ids")["registered_model"] == {
        f"{source}-{name}": f"{target}-{name}" for name in ("churn", "ask", "a-copy")
    }
    proof = ma.diff(archive, mlflow_server.backend, imported=True, artifacts=False)
    assert [*proof.changes, *proof.refused] == []


def test_an_import_that_is_cut_off_anywhere_doubles_nothing(store_place: Place) -> None:
    rows = ChunkSource((0, [registry(store_place.prefix, (1, 2))]))
    options: dict[str, Any] = {"merge_models": True, "model_prefix": ""}
    make_prod(store_place, store_place.prefix)
    cuts = 0
    for after in range(4, 40, every(6)):
        try:
            store_place.replay_source(rows, wrap=dying(after, executed=True), **options)
        except Cut:
            cuts += 1
    assert store_place.replay_source(rows, **options).gaps == []
    assert cuts > 2
    found = versions(store_place, "churn")
    identities = [v.tags[f"{P}model_version.version"] for v in found.values() if f"{P}model_version.version" in v.tags]
    assert (sorted(identities), len(found)) == (["1", "2"], 5)
    assert len(versions(store_place, "ask")) == 5


def test_without_the_option_a_merged_model_is_left_alone(prod: Place, tmp_path: Path) -> None:
    archive = written(dev(prod.prefix, new_id()), tmp_path / "a.mlfa")
    refused = merge(prod, archive, merge_models=False)
    codes = {(gap.owner_id, gap.code) for gap in refused.gaps}
    model, prompt = f"{prod.prefix}-churn", f"{prod.prefix}-ask"
    assert codes >= {(model, refusals.REGISTERED_MODEL_REFUSED), (prompt, refusals.REGISTERED_MODEL_REFUSED)}
    assert "--merge-models" in refused.gaps[0].reason
    merge(prod, archive)
    there = everything(prod)
    assert {gap.owner_id for gap in merge(prod, archive, merge_models=False).gaps} == {model, prompt}
    assert everything(prod) == there


def of(place: Place, *numbers: int) -> ChunkSource:
    """Return a source of one model with some versions."""
    name = f"{place.prefix}-churn"
    rows = [version(name, number) for number in numbers]
    aliases_of = [registered(name, alias="newest", version=numbers[-1])]
    return ChunkSource(
        (0, [chunk(registered_models=[registered(name)], registered_model_aliases=aliases_of, model_versions=rows)])
    )


def at_the_source(place: Place) -> dict[int, str]:
    found = versions(place, "churn")
    return {number: v.tags.get(f"{P}model_version.version", "own") for number, v in sorted(found.items())}


def test_an_import_that_goes_on_behind_versions_of_the_target(store_place: Place) -> None:
    """What comes from dev again and again, to where versions are made, too."""
    options: dict[str, Any] = {"merge_models": True, "model_prefix": ""}
    assert store_place.replay_source(of(store_place, 1, 3), **options).gaps == []
    assert at_the_source(store_place) == {1: "1", 3: "3"}, "a model that is not there gets the numbers of the source"
    name = f"{store_place.prefix}-churn"
    store_place.client.create_model_version(name, "s3://bucket/own", await_creation_for=0)
    report = store_place.replay_source(of(store_place, 1, 3, 4), **options)
    assert at_the_source(store_place) == {1: "1", 3: "3", 4: "own", 5: "4"}
    assert "the alias 'newest'" in str(report.details["notes"])
    assert aliases(held(store_place, "churn")) == {"newest": 3}
    assert store_place.replay_source(of(store_place, 1, 3, 4), **options, move_aliases=True).gaps == []
    assert aliases(held(store_place, "churn")) == {"newest": 5}

    for again in ({"merge_models": False}, {}):
        report = store_place.replay_source(of(store_place, 1, 3, 4), **{**options, **again})
        assert (report.gaps, details(report, "outcomes")["model_version"]["skipped"]) == ([], 3)
    assert at_the_source(store_place) == {1: "1", 3: "3", 4: "own", 5: "4"}


def test_a_number_that_a_deleted_version_has_taken_is_not_needed(store_place: Place) -> None:
    name = f"{store_place.prefix}-churn"
    store_place.client.create_registered_model(name)
    for _ in range(2):
        made = store_place.client.create_model_version(name, "s3://bucket/own", await_creation_for=0)
        store_place.client.delete_model_version(name, made.version)
    refused = store_place.replay_source(of(store_place, 1), model_prefix="")
    assert [gap.code for gap in refused.gaps] == [refusals.MODEL_VERSION_REFUSED, refusals.ALIAS_REFUSED]
    for _ in range(2):
        assert store_place.replay_source(of(store_place, 1), model_prefix="", merge_models=True).gaps == []
        assert list(at_the_source(store_place).values()) == ["1"]


def test_links_alone_lead_to_prompts_that_were_appended(prod: Place, tmp_path: Path) -> None:
    name, trace_id = prod.prefix, new_id()
    archive = written(dev(name, trace_id), tmp_path / "a.mlfa")
    options = ReplayOptions(merge_models=True)
    ma.import_archive(archive, prod.uri, options=options, selection=Selection(kinds=("registered_model",)))
    ma.import_archive(archive, prod.uri, options=options, selection=Selection(kinds=("run", "trace")))
    assert runs(prod, "main")["only"].data.tags[LINKED] == linked(f"{name}-ask", 4, 5)
    condition = f"prompt = '{name}-ask/5'"
    found = prod.client.search_traces(locations=[prod.experiment("main")], filter_string=condition, include_spans=False)
    assert [trace.info.trace_id for trace in found] == [trace_id]


def test_links_to_versions_that_are_not_there_are_left_out(prod: Place, tmp_path: Path) -> None:
    name, trace_id = prod.prefix, new_id()
    archive = written(dev(name, trace_id), tmp_path / "a.mlfa")
    options = replace(ReplayOptions(), merge_models=True)
    report = ma.import_archive(archive, prod.uri, options=options, selection=Selection(kinds=("trace",)))
    assert details(report, "changed")["trace_links_without_prompt"] == 1
    condition = f"prompt = '{name}-ask/2'"
    found = prod.client.search_traces(locations=[prod.experiment("main")], filter_string=condition, include_spans=False)
    assert found == [], "2 is another version there"


@pytest.mark.parametrize("merges", [True, False])
def test_a_prompt_is_not_put_into_a_model_of_its_name(merges: bool, store_place: Place) -> None:
    name = f"{store_place.prefix}-churn"
    tags = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    store_place.client.create_registered_model(name)
    store_place.client.create_model_version(name, "s3://bucket/own", await_creation_for=0)
    rows = chunk(
        registered_models=[registered(name)],
        registered_model_tags=[registered(name, **tags)],
        model_versions=[version(name, 1, source="dummy-source")],
    )
    report = store_place.replay_source(ChunkSource((0, [rows])), model_prefix="", merge_models=merges)
    assert [gap.code for gap in report.gaps] == [refusals.REGISTERED_MODEL_REFUSED]
    assert f"the target has a registered model '{name}', and this is a prompt" in report.gaps[0].reason
    assert held(store_place, "churn").tags == {}
