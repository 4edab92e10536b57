"""Which object a text names, and all that an archive holds of it."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.artifact_owner import (
    ArtifactReference,
    artifacts_at,
    find_artifacts,
    without_scheme,
)
from mlflow_archive.reader.inspection.details import experiment_details, find_run, made_models, run_details
from mlflow_archive.reader.inspection.model_versions import find_version, place_of_files, version_details
from mlflow_archive.reader.inspection.objects import find_object, object_details, owners_named
from mlflow_archive.reader.inspection.spans import spans_by_trace, spans_of, tree
from mlflow_archive.reader.inspection.summary import summarize
from tests.inspection.world import AB, GONE, MODEL, OLDER, A, B


def error_of(archive: Archive, call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(SelectionError) as caught:
        call(archive, *arguments, **options)
    return str(caught.value).replace(str(archive.path), "PATH")


@pytest.mark.parametrize(
    ("uri", "version", "path"),
    [
        ("models:/churn/1", 1, ""),
        ("models:/churn/1/a/b", 1, "a/b"),
        ("models:/churn/Production", 10, ""),
        ("models:/churn/latest", 10, ""),
        ("models:/churn", 10, ""),
        ("models:/churn@live", 2, ""),
        ("models:/churn@live/a", 2, "a"),
        ("prompts:/churn/3", 3, ""),
        ("models:/team/a/b/1", 1, ""),
        ("models:/team/a/b/1/c/", 1, "c"),
    ],
)
def test_versions_by_their_uri(world: Archive, uri: str, version: int, path: str) -> None:
    found = find_version(world, uri)
    assert found is not None
    assert (found.row["version"], found.path) == (version, path)
    assert found.owner_id == ("team/a/b" if "team" in uri else "churn")


def test_what_is_no_uri_of_a_version(world: Archive) -> None:
    for text in ("churn/1", "models:churn", "models:/", f"models:/{MODEL}", f"models:/{MODEL}/x", "runs:/churn/1"):
        assert find_version(world, text) is None


def test_versions_that_are_not_there(world: Archive) -> None:
    numbers = "there are 1, 2, 3, 4, 5, 10"
    assert error_of(world, find_version, "models:/churn/7") == f"'churn' has no version '7' in PATH; {numbers}"
    assert error_of(world, find_version, "models:/churn/11") == f"'churn' has no version '11' in PATH; {numbers}"
    assert error_of(world, find_version, "models:/churn@x") == "'churn' has no alias 'x' in PATH; there are 'live'"
    assert error_of(world, find_version, "models:/team/a/b@x") == "'a/b' has no alias 'x' in PATH; there are none"
    said = "no registered model or prompt of PATH matches 'chur'; there are 'churn', 'team/a/b'"
    assert error_of(world, find_version, "models:/chur@x/3") == said


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("models:/churn/1", ("run", A, "x")),
        ("models:/churn/1/y", ("run", A, "x/y")),
        ("models:/churn/2", ("logged_model", MODEL, "")),
        ("models:/churn/3/own", ("logged_model", MODEL, "own")),
        ("models:/churn/4", ("registered_model", "churn", "4")),
        ("models:/churn/4/file", ("registered_model", "churn", "4/file")),
        ("models:/churn/10", ("logged_model", OLDER, "sub")),
        ("models:/team/a/b/1/z", ("run", A, "z")),
    ],
)
def test_where_the_files_of_a_version_lie(world: Archive, uri: str, place: tuple[str, str, str]) -> None:
    found = find_version(world, uri)
    assert found is not None
    assert place_of_files(world, found) == place
    kind, owner, path = place
    assert find_artifacts(world, uri) == ArtifactReference(kind=kind, owner_id=owner, path=path)


def test_a_version_without_files_says_where_they_are(world: Archive) -> None:
    found = find_version(world, "models:/churn/5")
    assert error_of(world, place_of_files, found) == (
        "version 5 of 'churn' has no files in PATH; its source is 'file:/elsewhere'"
    )


def test_all_of_a_version(world: Archive) -> None:
    found = find_version(world, "models:/churn/2")
    assert found is not None
    details = version_details(world, found)
    assert (details.kind, details.owner_id, details.info) == ("model_version", "churn/2", found.row)
    assert (details.pairs, details.tables, details.gaps) == ({"tags": {"k": "2"}}, {"aliases": [{"alias": "live"}]}, [])
    assert [row["path"] for row in details.artifacts] == ["MLmodel", "own"]
    other = find_version(world, "models:/churn/5")
    assert other is not None
    details = version_details(world, other)
    assert (details.pairs, details.tables, details.artifacts) == ({"tags": {}}, {}, [])
    assert details.to_json() == {
        "kind": "model_version", "model_version": other.row, "tags": {}, "artifacts": [], "gaps": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (A, None, ("run", A)),
        ("bb", None, ("run", B)),
        ("first", None, ("run", A)),
        ("churn", None, ("registered_model", "churn")),
        ("team/a/b", None, ("registered_model", "team/a/b")),
        ("a/b", None, ("registered_model", "team/a/b")),
        ("2", "experiment", ("experiment", "2")),
        ("tr-2", None, ("trace", "tr-2")),
        ("one", None, ("experiment", "1")),
    ],
)
def test_what_a_text_names(world: Archive, text: str, kind: str | None, expected: tuple[str, str]) -> None:
    assert find_object(world, text, kind) == expected


def test_what_names_nothing_or_several(world: Archive) -> None:
    more = "give more of the id or a --kind"
    assert error_of(world, find_object, "two") == (f"2 objects of PATH match 'two': experiment 2, experiment 3; {more}")
    assert error_of(world, find_object, "tr-") == (
        f"4 objects of PATH match 'tr-': trace tr-1, trace tr-2, trace tr-3, trace tr-4; {more}"
    )
    assert error_of(world, find_object, "chrn") == (
        "no object of PATH has the id or name 'chrn'; did you mean 'churn'?"
    )
    assert error_of(world, find_object, "#", "logged_model") == (
        "no logged model of PATH has the id or name '#'; `mlflow-archive ls PATH --help` says how to list what there is"
    )
    assert error_of(world, object_details, "logged_model", "x") == "no logged model 'x' in PATH"
    assert owners_named(world, "gateway_endpoint", "x") == []


def test_all_of_an_object(world: Archive) -> None:
    details = object_details(world, "registered_model", "churn")
    assert details.info["description"] == "d"
    assert details.pairs == {"registered_model_tags": {"k": "v"}}
    assert details.tables["registered_model_aliases"] == [{"alias": "live", "version": 2}]
    assert [row["version"] for row in details.tables["model_versions"]] == [1, 2, 3, 4, 5, 10, 11]
    assert [row["path"] for row in details.artifacts] == ["4/file"]
    told = details.to_json()
    assert list(told) == [
        *("kind", "registered_model", "registered_model_tags", "registered_model_aliases", "model_versions"),
        *("model_version_tags", "artifacts", "gaps"),
    ]
    assert [list(row) for row in told["artifacts"]] == [["path", "size", "digest"]]
    run = object_details(world, "run", A)
    assert run.gaps == [{"path": "p", "code": "G102", "reason": "why"}]
    assert (run.pairs["params"], run.pairs["tags"]) == ({"lr": "1"}, {"k": None})
    assert object_details(world, "trace", "tr-1").tables["spans"][0]["span_id"] == "s"


@pytest.mark.parametrize(
    ("text", "kind", "owner", "path"),
    [
        (f"{A}/x/y", "run", A, "x/y"),
        (f"runs:/{A}/x", "run", A, "x"),
        ("aaa/x", "run", A, "x"),
        ("first/x/y", "run", A, "x/y"),
        (f"models:/{OLDER}/older", "logged_model", OLDER, "older"),
        (OLDER, "logged_model", OLDER, ""),
        ("team/a/b/1", "registered_model", "team/a/b", "1"),
        ("tr-2/x", "trace", "tr-2", "x"),
    ],
)
def test_whose_artifacts_a_text_means(world: Archive, text: str, kind: str, owner: str, path: str) -> None:
    found = find_artifacts(world, text)
    assert found == ArtifactReference(kind=kind, owner_id=owner, path=path)
    assert found.owner == f"{kind.replace('_', ' ')} {owner}"


def test_artifacts_of_nobody_or_of_several(world: Archive) -> None:
    assert error_of(world, find_artifacts, "twin/x") == (
        f"2 objects of PATH match 'twin': run {AB}, run {B}; give more of the id"
    )
    said = error_of(world, find_artifacts, "nobody/x")
    assert said.startswith("no run, logged model, ")
    assert said.endswith(" of PATH has the id or name 'nobody'; `mlflow-archive ls PATH artifacts` lists all artifacts")
    assert [without_scheme(text) for text in ("runs:/a/b", "runs://a", "models:/m", "file:/a", "runs:a", "a")] == [
        *("a/b", "a", "m", "file:/a", "runs:a", "a")
    ]


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        ("", ["model/MLmodel", "model/older", "model/own", "x/y"]),
        ("model", ["model/MLmodel", "model/older", "model/own"]),
        ("model/MLmodel", ["model/MLmodel"]),
        ("model/own", ["model/own"]),
        ("x", ["x/y"]),
        ("other", []),
    ],
)
def test_files_of_models_lie_in_a_folder_of_their_run(world: Archive, path: str, paths: list[str]) -> None:
    rows = artifacts_at(world, ArtifactReference(kind="run", owner_id=A, path=path))
    assert [row["path"] for row in rows] == paths
    owners = {row["path"]: row["owner_id"] for row in rows}
    expected = {"model/MLmodel": MODEL, "model/older": OLDER, "model/own": A, "x/y": A}
    assert owners == {name: expected[name] for name in paths}


def test_models_that_a_run_made(world: Archive) -> None:
    model = {"name": "model", "status": "READY", "model_type": "T"}
    assert made_models(world, A) == [{"model_id": MODEL, **model}, {"model_id": OLDER, **model}]
    assert GONE not in {row["model_id"] for row in made_models(world, A)}
    assert made_models(world, B) == []


def test_all_of_a_run(world: Archive) -> None:
    told = run_details(world, A).to_json()
    assert (told["run"]["run_name"], told["experiment"]["name"]) == ("first", "one")
    assert (told["params"], told["tags"]) == ({"lr": "1"}, {"k": None})
    first = 1655004879000
    assert told["metrics"] == {
        "acc": {"steps": [0], "timestamps_ms": [first], "values": [0.5]},
        "loss": {"steps": [0, 1], "timestamps_ms": [first, first + 1000], "values": [2.0, 1.0]},
    }
    nothing = dict.fromkeys(("source_type", "source", "schema", "profile"))
    assert told["inputs"] == [
        {"name": "gone", "digest": "d", **nothing, "tags": {}},
        {"name": "iris", "digest": "d", **nothing, "source_type": "s", "source": "there", "tags": {"k": "v"}},
    ]
    assert [row["model_id"] for row in told["logged_models"]] == [MODEL, OLDER]
    assert [(row["path"], row["size"]) for row in told["artifacts"]] == [("model/own", 9), ("x/y", 3)]
    assert [list(row) for row in told["artifacts"]] == [["path", "size", "digest"]] * 2
    assert told["gaps"] == [{"path": "p", "code": "G102", "reason": "why"}]
    assert told["export"] == {"number": 1, "created": 7}
    assert error_of(world, run_details, "x") == "no run 'x' in PATH"


def test_which_run_is_meant(world: Archive) -> None:
    assert [find_run(world, text) for text in (A, "b", "first", "aa")] == [A, B, A, A]
    lists = "`mlflow-archive ls PATH runs` lists them"
    assert error_of(world, find_run, "x") == f"no run of PATH has the id or name 'x'; {lists}"
    assert error_of(world, find_run, "") == f"no run of PATH has the id or name ''; {lists}"
    assert error_of(world, find_run, "a") == f"2 runs of PATH match 'a': {A}, {AB}; give more of the id"
    assert error_of(world, find_run, "twin") == f"2 runs of PATH match 'twin': {AB}, {B}; give more of the id"


def test_all_of_an_experiment(world: Archive) -> None:
    details = experiment_details(world, "one")
    assert details.to_json() == {
        "experiment": details.info,
        "tags": {"team": "t"},
        "runs": {"active FAILED": 1, "active FINISHED": 2},
        "gaps": [{"path": "", "code": "G301", "reason": "because"}],
    }
    assert details.info["experiment_id"] == experiment_details(world, "1").info["experiment_id"] == "1"
    has = "it has 'one' (id 1), 'two' (id 2), 'two' (id 3)"
    assert error_of(world, experiment_details, "two") == f"2 experiments match 'two' in PATH; {has}"
    assert error_of(world, experiment_details, "x") == f"no experiment matches 'x' in PATH; {has}"


def test_spans_of_traces(world: Archive) -> None:
    found = spans_by_trace(world, ["tr-1", "tr-2", "tr-4"])
    assert {trace: [(span.span_id, span.name) for span in spans] for trace, spans in found.items()} == {
        "tr-1": [("s", "n")],
        "tr-2": [("01", "early"), ("02", "late")],
        "tr-4": [],
    }
    assert [depth for depth, _ in tree(found["tr-2"])] == [0, 0]
    with pytest.raises(DamagedError) as caught:
        spans_of(world, "tr-3")
    assert (caught.value.code, str(caught.value)[:72]) == (
        *("E042", "E042: traces.json of trace tr-3 holds no spans as MLflow writes them: Ty"),
    )


def test_numbers_of_an_archive(world: Archive) -> None:
    told = summarize(world).to_json()
    manifest = world.manifest
    kinds = {kind: sum(m.size for m in manifest.members if m.kind == kind) for kind in ("table", "pack")}
    size = sum(world.members.sizes().values())
    artifacts = world.table("artifacts")["size"].to_pylist()
    blobs = {row["digest"]: row["size"] for row in world.table("artifacts").to_pylist()}
    assert told["sizes"] == {
        "total": size,
        "tables": kinds["table"],
        "packs": kinds["pack"],
        "artifacts": sum(artifacts),
        "blobs": sum(blobs.values()),
        "ratio": sum(artifacts) / kinds["pack"],
    }
    assert {name: count for name, count in told["counts"].items() if count} == dict(manifest.exports[0].counts)
    assert (told["path"], told["form"], told["format"]) == (str(world.path), "directory", f"1.{manifest.minor}")
    assert (told["archive_id"], told["features"], told["inexact_counts"]) == (world.id, [], [])
    assert told["gaps"] == {"G102": 1, "G301": 1, "G403": 1}
    (export,) = told["exports"]
    assert list(export) == ["number", "created", "tool", "source", "selection", "counts", "gaps"]
    assert (export["number"], export["created"], export["tool"], export["gaps"]) == (1, 7, "test", 3)
    assert "elsewhere" not in told
