"""Which versions of registered models a selection takes: what its texts mean, and what they take together."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.selecting.chosen_versions import ChosenVersions, VersionChoice, parse_stages, parse_versions
from mlflow_archive.selecting.selection import Selection


def rows(*versions: tuple[str, int, str | None]) -> list[dict[str, Any]]:
    return [
        {"name": name, "workspace": "default", "version": number, "current_stage": stage}
        for name, number, stage in versions
    ]


VERSIONS = rows(
    ("a", 1, "Archived"),
    ("a", 2, "Production"),
    ("a", 10, None),
    ("a", 11, TOMBSTONE),
    ("b", 2, "Production"),
    ("b", 3, "Staging"),
)


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        pytest.param({}, "a/1 a/2 a/10 a/11 b/2 b/3", id="nothing said"),
        pytest.param({"versions": ["2", "10,3"]}, "a/2 a/10 b/2 b/3", id="numbers"),
        pytest.param({"versions": ["a=2"]}, "a/2 b/2 b/3", id="of one model"),
        pytest.param({"versions": ["3", "a=1"]}, "a/1 b/3", id="of one, and of the others"),
        pytest.param({"versions": ["11"]}, "", id="a deleted one"),
        pytest.param({"stages": ["production", "NONE"]}, "a/2 a/10 b/2", id="stages"),
        pytest.param({"latest": 2}, "a/2 a/10 b/2 b/3", id="newest by number"),
        pytest.param({"stages": ["Production", "Archived"], "latest": 1}, "a/2 b/2", id="newest in a stage"),
        pytest.param({"stages": ["Staging"], "prompts": {"a"}}, "a/1 a/2 a/10 a/11 b/3", id="prompts have no stage"),
        pytest.param({"stages": ["Staging"], "latest": 1, "prompts": {"a"}}, "a/10 b/3", id="newest of a prompt"),
        pytest.param({"versions": ["a=1,2"], "latest": 1}, "a/2 b/3", id="newest of some numbers"),
    ],
)
def test_versions_that_come(choice: dict[str, Any], taken: str) -> None:
    said = VersionChoice(choice.get("versions", ()), choice.get("stages", ()), choice.get("latest"))
    chosen = said.of(VERSIONS, choice.get("prompts", ()))
    names = [f"{row['name']}/{row['version']}" for row in VERSIONS if chosen.takes(row["name"], row["version"])]
    assert " ".join(names) == taken


def test_versions_that_are_not_there() -> None:
    choice = VersionChoice(["9, 2", "a=11,1", "c=1"], (), None)
    assert choice.named() == ["2", "9", "a/1", "a/11", "c/1"]
    assert choice.missing(VERSIONS) == ["9", "a/11", "c/1"]


def test_rows_and_files_of_versions_that_come() -> None:
    chosen = ChosenVersions({"m": {2}, "team/m": {1}})
    versions = pa.table({"name": ["m"] * 3, "workspace": ["default", "default", "team"], "version": [1, 2, 1]})
    others = pa.table({"name": ["m"]})
    kept = chosen.keep({"model_versions": versions, "registered_models": others})
    assert kept["model_versions"].to_pylist() == versions.to_pylist()[1:]
    assert kept["registered_models"] is others
    files = [("registered_model", "m", "1/MLmodel"), ("registered_model", "m", "2/a/b"), ("run", "m", "1/x")]
    columns = dict(zip(("owner_kind", "owner_id", "path"), zip(*files, strict=True), strict=True))
    assert chosen.keep_files(pa.table(columns))["path"].to_pylist() == ["2/a/b", "1/x"]
    assert not chosen.takes_file("m", "MLmodel")
    assert chosen.takes_file("of which all come", "MLmodel")


@pytest.mark.parametrize("text", ["", "x", "m=", "=3", "3;4", "3-5", "m=3,", "-1"])
def test_what_names_no_versions_is_refused(text: str) -> None:
    with pytest.raises(SelectionError, match="names no versions; expected numbers as 3,5 or NAME=3,5"):
        parse_versions([text])


def test_a_name_may_hold_an_equals_sign() -> None:
    assert dict(parse_versions(["a=b=3"])) == {"a=b": {3}}


def test_stages_are_those_of_mlflow() -> None:
    assert parse_stages(["staging", "Production"]) == {"Staging", "Production"}
    with pytest.raises(SelectionError, match="no stage is called 'live'; there are None, Staging, Production"):
        parse_stages(["live"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"versions": ("3",), "experiments": ("e",)}, "versions are chosen of registered models, and none comes"),
        ({"latest_versions": 1, "kinds": ("run",)}, "versions are chosen of registered models, and none comes"),
        ({"latest_versions": 0}, "latest_versions is 0, expected 1 or more"),
        ({"stages": ("live",)}, "no stage is called 'live'"),
        ({"parents": True}, "parents and children come with runs that are named"),
        ({"children": True, "since_ms": 1}, "parents and children come with runs that are named"),
        ({"registry": "model"}, "registry is 'model', expected one of all, models, prompts"),
    ],
)
def test_a_selection_without_meaning_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        Selection(**fields)
