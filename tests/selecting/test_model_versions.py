"""Where the files of model versions lie, and what versions stand on: every kind of source, and every dead end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.selecting.model_versions import (
    ModelDependencies,
    VersionPlace,
    VersionPlaces,
    dependencies_of,
    has_files,
    location_of,
    prompt_experiments,
)

A, B, C = "a" * 32, "b" * 32, "c" * 32
M, N = "m-" + "0" * 32, "m-" + "1" * 32


def version(source: str | None, **columns: Any) -> dict[str, Any]:
    plain = {"name": "n", "workspace": "w", "version": 1, "current_stage": "None", "storage_location": None}
    return {**plain, "run_id": None, "source": source, **columns}


Versions = Mapping[tuple[str, str, int | None, str | None], dict[str, Any]]
ROOTS: Mapping[str, Mapping[str, str | None]] = {
    RUN: {A: "s3://b/a/", B: "s3://b/a/b", C: None},
    LOGGED_MODEL: {M: "s3://b/m"},
}


class Known:
    """A registry of what a test says: roots, makers and versions; remembers what it was asked for."""

    def __init__(self, versions: Versions | None = None) -> None:
        self.versions = versions or {}
        self.asked: list[tuple[str, list[str]]] = []

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        self.asked.append((kind, sorted(ids)))
        return {owner_id: root for owner_id, root in ROOTS[kind].items() if owner_id in ids}

    def makers(self, models: Collection[str]) -> set[str]:
        return {C} if M in models else set()

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> dict[str, Any] | None:
        return self.versions.get((workspace, name, version, alias))


def place(row: dict[str, Any], registry: Known | None = None) -> VersionPlace:
    return VersionPlaces(registry or Known(), [row]).of(row)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"runs:/{A}/model/x", VersionPlace(uri="s3://b/a/model/x", owner=(RUN, A))),
        (f"runs:/{A}", VersionPlace(uri="s3://b/a", owner=(RUN, A))),
        (f"models:/{M}", VersionPlace(uri="s3://b/m", owner=(LOGGED_MODEL, M))),
        (f"models:/{M}/sub", VersionPlace(uri="s3://b/m/sub", owner=(LOGGED_MODEL, M))),
        (f"models:/{N}", VersionPlace(uri=None, owner=(LOGGED_MODEL, N), problem=f"the logged model {N} is not there")),
        (f"runs:/{C}/x", VersionPlace(uri=None, owner=(RUN, C), problem=f"the run {C} is not there")),
        (
            f"runs:/{A}/x/../../y",
            VersionPlace(uri=None, owner=(RUN, A), problem=f"runs:/{A}/x/../../y leads out of what it names"),
        ),
        (f"runs:/{A}/x..y", VersionPlace(uri="s3://b/a/x..y", owner=(RUN, A))),
        ("models:/gone/3", VersionPlace(uri=None, problem="models:/gone/3 is not there")),
        ("s3://elsewhere/x", VersionPlace(uri="s3://elsewhere/x")),
        (f"s3://elsewhere/{A}", VersionPlace(uri=f"s3://elsewhere/{A}")),
    ],
)
def test_where_files_lie(source: str, expected: VersionPlace) -> None:
    assert place(version(source)) == expected
    assert place(version("s3://other", storage_location=source)) == expected


def test_a_place_below_the_root_of_a_run_that_is_named_is_the_runs() -> None:
    assert place(version("s3://b/a/x", run_id=A)) == VersionPlace(uri="s3://b/a/x", owner=(RUN, A))
    assert place(version("s3://b/x", run_id=A)) == VersionPlace(uri="s3://b/x")
    both = version(f"s3://b/a/b/{A}", run_id=B)
    assert place(both) == VersionPlace(uri=f"s3://b/a/b/{A}", owner=(RUN, A))
    assert place(version(f"s3://b/m/{M}/x")) == VersionPlace(uri=f"s3://b/m/{M}/x", owner=(LOGGED_MODEL, M))


def test_versions_that_lead_to_versions() -> None:
    versions: Versions = {
        ("w", "n", 2, None): version("models:/o@best", workspace="v"),
        ("v", "o", None, "best"): version(f"runs:/{A}/m"),
        ("w", "ring", 1, None): version("models:/ring/1"),
    }
    assert place(version("models:/n/2"), Known(versions)) == VersionPlace(uri="s3://b/a/m", owner=(RUN, A))
    endless = "its source leads from version to version without end"
    assert place(version("models:/ring/1"), Known(versions)) == VersionPlace(uri=None, problem=endless)


def test_a_chain_of_twenty_is_followed_to_its_end() -> None:
    chain: Versions = {("w", "n", number, None): version(f"models:/n/{number + 1}") for number in range(1, 30)}
    for last, found in ((19, f"runs:/{A}"), (20, None)):
        versions: Versions = {**chain, ("w", "n", last, None): version(f"runs:/{A}")}
        assert (place(version("models:/n/1"), Known(versions)).uri is not None) is (found is not None)


def test_what_versions_name_is_asked_for_at_once_and_once() -> None:
    registry = Known()
    rows = [
        version(f"runs:/{A}/x"),
        version(f"models:/{M}", run_id=B),
        version(f"s3://x/{N}", storage_location=f"y/{C}"),
    ]
    places = VersionPlaces(registry, rows)
    assert registry.asked == [(RUN, [A, B, C]), (LOGGED_MODEL, [M, N])]
    for row in rows:
        places.of(row)
    assert len(registry.asked) == 2


def test_what_a_version_stands_on() -> None:
    rows = [version(f"runs:/{A}/x", storage_location=f"models:/{M}", run_id=B), version("s3://x", run_id="gone")]
    places = VersionPlaces(Known(), rows)
    assert places.stands_on(rows[0]) == {(RUN, A), (RUN, B), (LOGGED_MODEL, M)}
    assert places.stands_on(rows[1]) == set()
    assert VersionPlaces(Known(), [version(None)]).stands_on(version(None)) == set()


def test_versions_with_files() -> None:
    assert has_files(version("s3://x"))
    assert has_files(version("dummy-source", storage_location="s3://x"))
    assert not has_files(version("s3://x", current_stage=TOMBSTONE))
    for source in (None, "", "dummy-source", "prompt-template"):
        assert not has_files(version(source))
    assert location_of(version("a", storage_location="b")) == "b"
    assert location_of(version("a", storage_location="")) == "a"


def test_prompts_name_their_experiments() -> None:
    assert prompt_experiments([None, "", ",1, 2,", " 3 "]) == {"1", "2", "3"}


def test_what_some_models_stand_on() -> None:
    rows = [
        version(f"runs:/{A}/x"),
        version(f"models:/{M}"),
        version(f"runs:/{B}", current_stage=TOMBSTONE),
        version("dummy-source", run_id=B),
    ]
    assert dependencies_of(["n", "o"], rows, Known(), frozenset("1")) == ModelDependencies(
        names=("n", "o"), runs=frozenset({A, C}), logged_models=frozenset({M}), experiments=frozenset("1")
    )
    assert dependencies_of([], [], Known()) == ModelDependencies(names=(), runs=frozenset(), logged_models=frozenset())
