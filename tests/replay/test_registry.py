"""The registry made with MLflow's client on a server, replayed into another and read back there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from mlflow_archive.flow.report import Report
from mlflow_archive.format import refusals
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import Target
from tests.replay.conftest import Place
from tests.replay.filling import OWN_FILES, STAGES, Filled
from tests.replay.looking import P, aliases, files_of_model, logged_models, own_tags, runs, state, versions
from tests.sinks.replayed import Cut, dying
from tests.support.chunks import ChunkSource, chunk
from tests.support.racing import Raced


@pytest.fixture(scope="module")
def replayed(archive: Path, store_folder: Path) -> Place:
    root = store_folder / "artifacts"
    place = Place(
        uri=f"sqlite:///{store_folder / 'mlflow.db'}", folder=root, artifact_root=str(root), prefix="replayed-registry"
    )
    assert place.replay(archive).gaps == []
    return place


def refused(report: Report) -> list[tuple[str, str, str]]:
    return [(gap.owner_id, gap.path, gap.code) for gap in report.gaps]


def test_every_field_of_every_version(place: Place, archive: Path, filled: Filled) -> None:
    report = place.replay(archive)
    run_ids: Any = report.details["runs"]
    found = versions(place, "many")
    assert sorted(found) == [n for n in range(1, 15) if n not in (3, 7)]
    for number, version in found.items():
        source = filled.client.get_model_version("many", str(number))
        assert (version.description, version.run_link, version.status) == (source.description, source.run_link, "READY")
        assert version.current_stage == STAGES.get(number, "None") == source.current_stage
        assert own_tags(version.tags) == source.tags
        assert version.aliases == source.aliases
        assert version.tags[f"{P}model_version.source"] == source.source
        assert version.tags[f"{P}model_version.creation_time"] == str(source.creation_timestamp)
        if number not in (9, 10, 11):
            assert version.run_id == (run_ids[source.run_id] if source.run_id else source.run_id)
    model, source_model = (
        client.get_registered_model(name)
        for client, name in ((place.client, place.name("many")), (filled.client, "many"))
    )
    assert model.description == source_model.description
    assert own_tags(model.tags) == source_model.tags
    assert aliases(model) == aliases(source_model)
    assert model.tags[f"{P}registered_model.name"] == "many"
    assert place.client.get_registered_model(place.name("empty")).tags[f"{P}registered_model.name"] == "empty"
    assert versions(place, "empty") == {}


def test_numbers_go_on_behind_deleted_versions(store_place: Place, archive: Path) -> None:
    store_place.replay(archive)
    store_place.replay(archive)
    made = store_place.client.create_model_version(store_place.name("many"), "s3://bucket/new", await_creation_for=0)
    assert int(made.version) == 16, "15 is one that was deleted at the source"


def test_sources_are_those_of_the_target(replayed: Place) -> None:
    found = {number: version.source for number, version in versions(replayed, "many").items()}
    models = {**logged_models(replayed, "main"), **logged_models(replayed, "other")}
    made = runs(replayed, "main")
    old, deleted = made["old"].info, made["deleted"].info
    carriers = {m.name: m.model_id for m in logged_models(replayed, "Files of model versions").values()}
    assert found == {
        1: f"models:/{models['shared'].model_id}",
        2: f"runs:/{old.run_id}/old",
        4: f"runs:/{deleted.run_id}/none",
        5: "s3://bucket-of-nobody/models/1",
        6: f"models:/{models['alone'].model_id}",
        8: f"models:/{models['lost'].model_id}",
        9: f"models:/{carriers['many 9']}",
        10: f"models:/{carriers['no files']}",
        11: f"models:/{carriers['no files']}",
        12: f"runs:/{deleted.run_id}/none",
        13: "s3://bucket-of-nobody/models/1",
        14: f"models:/{models['alone'].model_id}",
    }
    [copied] = versions(replayed, "a copy").values()
    assert copied.source == f"models:/{replayed.name('many')}/2"
    assert copied.run_id == old.run_id


def test_files_of_a_version_in_no_run_are_carried(replayed: Place, filled: Filled) -> None:
    carrier = logged_models(replayed, "Files of model versions")["many 9"]
    maker, shared = runs(replayed, "main")["maker"].info.run_id, logged_models(replayed, "main")["shared"].model_id
    assert files_of_model(replayed, carrier) == {
        path: data.replace(b"RUN", maker.encode()).replace(b"MODEL", shared.encode())
        for path, data in OWN_FILES.items()
    }
    assert str(carrier.status) == "READY"


def test_prompts(place: Place, archive: Path, filled: Filled) -> None:
    report = place.replay(archive)
    run_ids: Any = report.details["runs"]
    for name, numbers in (("text-prompt", [1, *range(3, 12)]), ("chat-prompt", [1]), ("long-prompt", [1])):
        for number in numbers:
            source = filled.client.get_prompt_version(name, number)
            prompt = place.client.get_prompt_version(place.name(name), number)
            assert (prompt.template, prompt.response_format, prompt.commit_message) == (
                source.template,
                source.response_format,
                source.commit_message,
            )
            assert prompt.model_config == source.model_config
            assert {k: v for k, v in own_tags(prompt.tags).items() if "associatedRunIds" not in k} == {
                k: v for k, v in source.tags.items() if "associatedRunIds" not in k
            }
            assert not prompt.is_text_prompt or f"{P}mlflow.prompt.text" not in prompt._tags, "the text is kept once"
    assert place.client.get_prompt_version_by_alias(place.name("text-prompt"), "live").version == 11
    four = versions(place, "text-prompt", prompt=True)[4]
    expected = f"{run_ids[filled.runs['maker']]},{run_ids[filled.runs['user']]}"
    assert four.tags["mlflow.prompt.associatedRunIds"] == expected, "a run that is nowhere is left out"
    held = place.client._get_registry_client().get_registered_model(place.name("text-prompt"))
    assert held._tags["owner"] == "ü"
    assert held._tags["_mlflow_experiment_ids"] == f",{place.experiment('main')},{place.experiment('other')},"


def test_another_model_of_that_name_is_not_touched(store_place: Place, archive: Path) -> None:
    name = store_place.name("many")
    store_place.client.create_registered_model(name, {"mine": "1"})
    for number in range(3):
        store_place.client.create_model_version(name, f"s3://bucket/mine{number}", await_creation_for=0)
    before = dict(store_place.client.get_registered_model(name))
    report = store_place.replay(archive)
    assert refused(report) == [("many", "", refusals.REGISTERED_MODEL_REFUSED)]
    assert "--rename-model" in report.gaps[0].reason
    assert dict(store_place.client.get_registered_model(name)) == before
    [copied] = versions(store_place, "a copy").values()
    old = runs(store_place, "main")["old"].info.run_id
    assert copied.source == f"runs:/{old}/old", "it is no copy of a version of another model"


def test_an_empty_model_of_that_name_is_taken_over(store_place: Place, archive: Path) -> None:
    name = store_place.name("many")
    store_place.client.create_registered_model(name, {"owner": "me"}, "Mine.")
    report = store_place.replay(archive)
    assert report.gaps == []
    model = store_place.client.get_registered_model(name)
    assert (model.description, model.tags["owner"]) == ("Mine.", "me"), "what is there stays"
    assert len(versions(store_place, "many")) == 12


def test_a_version_deleted_in_the_target_is_not_made_anew(store_place: Place, archive: Path) -> None:
    store_place.replay(archive)
    store_place.client.delete_model_version(store_place.name("many"), "9")
    report = store_place.replay(archive)
    assert refused(report) == [
        ("many", "9", refusals.MODEL_VERSION_REFUSED),
        ("many", "alias/challenger", refusals.ALIAS_REFUSED),
    ]
    assert 9 not in versions(store_place, "many")


def test_what_changed_in_the_target_is_set_back(store_place: Place, archive: Path) -> None:
    store_place.replay(archive)
    before, client, name = state(store_place), store_place.client, store_place.name("many")
    client.set_registered_model_alias(name, "champion", "1")
    client.set_model_version_tag(name, "5", "number", "other")
    client.update_model_version(name, "5", "Another.")
    report = store_place.replay(archive)
    outcomes: Any = report.details["outcomes"]
    assert outcomes["registered_model"]["updated"] == outcomes["model_version"]["updated"] == 1
    found = versions(store_place, "many")
    assert (found[5].tags["number"], found[5].description) == ("5", "Version 5")
    assert aliases(client.get_registered_model(name)) == before[name][2]


def test_renaming(store_place: Place, archive: Path) -> None:
    store_place.replay(archive, rename_model={"many": "several"}, model_prefix=f"{store_place.prefix}-")
    assert len(versions(store_place, "several")) == 12
    [copied] = versions(store_place, "a copy").values()
    assert copied.source == f"models:/{store_place.name('several')}/2"


def test_the_registry_alone_finds_runs_of_an_earlier_import(store_place: Place, archive: Path) -> None:
    store_place.replay(archive, selection=Selection(kinds=("run", "logged_model")))
    report = store_place.replay(archive, selection=Selection(kinds=("registered_model",)))
    assert report.gaps == []
    found, old = versions(store_place, "many"), runs(store_place, "main")["old"].info.run_id
    assert found[2].run_id is not None
    assert found[2].source == f"runs:/{found[2].run_id}/old"
    assert (
        store_place.client.get_run(found[2].run_id).data.tags[f"{P}run_info.run_id"]
        == (store_place.client.get_run(old).data.tags[f"{P}run_info.run_id"])
    )


def model(name: str, **columns: Any) -> dict[str, Any]:
    return {"name": name, "workspace": "default", "creation_time": 1, "last_updated_time": 2, **columns}


def version(name: str, number: int, **columns: Any) -> dict[str, Any]:
    return {
        **model(name, current_stage="None", status="READY", source="s3://bucket/x"),
        "version": number,
        **columns,
    }


def test_what_mlflow_does_not_take_is_refused_one_by_one(store_place: Place) -> None:
    rows = chunk(
        registered_models=[model("a"), model("b"), model("c", workspace="team"), model("a", workspace="team")],
        registered_model_tags=[model("a", key="odd$", value="1")],
        registered_model_aliases=[
            model("a", alias="latest", version=1),
            model("a", alias="gone", version=9),
            model("a", alias="good", version=2),
        ],
        model_versions=[version("a", 1), version("a", 2, current_stage="Odd"), version("a", 20_000)],
        model_version_tags=[{**version("a", 1), "key": "odd$", "value": "1"}],
    )
    report = store_place.replay_source(ChunkSource((0, [rows])))
    assert refused(report) == [
        ("a", "odd$", refusals.TAG_REFUSED),
        ("a", "1/odd$", refusals.TAG_REFUSED),
        ("a", "2", refusals.MODEL_VERSION_REFUSED),
        ("a", "20000", refusals.MODEL_VERSION_REFUSED),
        ("a", "alias/good", refusals.ALIAS_REFUSED),
        ("a", "alias/latest", refusals.ALIAS_REFUSED),
        ("team/a", "", refusals.REGISTERED_MODEL_REFUSED),
    ]
    assert report.details["changed"] == {"aliases_without_their_version": 1}
    assert sorted(versions(store_place, "a")) == [1, 2]
    assert store_place.client.get_registered_model(store_place.name("c"))


def test_a_model_that_somebody_else_makes_meanwhile_is_taken(store_place: Place) -> None:
    rows = chunk(registered_models=[model("raced")], model_versions=[version("raced", 1), version("raced", 3)])
    raced: list[Raced] = []

    def wrap(target: Target) -> Target:
        raced.append(Raced(target))
        return cast("Target", raced[0])

    assert store_place.replay_source(ChunkSource((0, [rows])), wrap=wrap).gaps == []
    assert sorted(versions(store_place, "raced")) == [1, 3]
    assert raced[0].races == 1


def test_one_that_is_cut_off_at_a_gap_leaves_no_trace_of_it(store_place: Place) -> None:
    """Between the deletion of a filler and the version behind it a tag knows the number; then it is of no use."""
    source = ChunkSource(
        (0, [chunk(registered_models=[model("gap")], model_versions=[version("gap", 1), version("gap", 3)])])
    )
    cuts = 0
    for after in range(3, 9):
        place = replace(store_place, prefix=f"{store_place.prefix}-{after}")
        try:
            place.replay_source(source, wrap=dying(after, executed=True))
        except Cut:
            cuts += 1
            assert place.replay_source(source).gaps == []
        tags = place.client.get_registered_model(place.name("gap")).tags
        assert not [key for key in tags if key.startswith("mlflow_archive.")], f"cut off at request {after}"
        assert sorted(versions(place, "gap")) == [1, 3]
    assert cuts > 2


def test_a_name_that_is_too_long_for_a_folder_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 130 letters, which MLflow takes, and 260 bytes."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = Place(uri=str(tmp_path / "mlruns"), folder=tmp_path, artifact_root=None, prefix="p")
    long = "\u00fc" * 130
    rows = chunk(registered_models=[model(long), model("b")], model_versions=[version("b", 1), version(long, 1)])
    for made in (1, 0):
        report = place.replay_source(ChunkSource((0, [rows])))
        assert refused(report) == [(long, "", refusals.REGISTERED_MODEL_REFUSED)]
        outcomes: Any = report.details["outcomes"]
        assert (outcomes["registered_model"]["created"], outcomes["model_version"]["created"]) == (made, made)
    assert sorted(path.name for path in (tmp_path / "mlruns" / "models").iterdir()) == ["p-b"]
