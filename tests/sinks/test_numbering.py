"""Which versions of a registered model of the target are those of the source, and which are left over of an import."""

from __future__ import annotations

import pytest

from mlflow_archive.sinks.replay.registry.numbering import FILLER, Placed, placed
from mlflow_archive.sinks.replay.registry.planned_version import PlannedRegisteredModel, merged_model
from mlflow_archive.sinks.replay.writing.version_numbers import APPENDED

P = "mlflow_export_import.model_version."
IDENTITIES = {"default/churn/1@7": 1, "default/churn/2@8": 2}


def ours(number: int, *, appended: bool = False, name: str = "churn") -> dict[str, str]:
    """Return the tags of a version that an import has made."""
    facts = {"workspace": "default", "name": name, "version": str(number), "creation_time": str(number + 6)}
    tags = {P + key: value for key, value in facts.items()}
    return {**tags, APPENDED: "true"} if appended else tags


@pytest.mark.parametrize(
    ("versions", "numbers", "leftovers", "others"),
    [
        ({}, {}, (), False),
        ({1: ours(1), 2: ours(2)}, {1: 1, 2: 2}, (), False),
        ({1: {}, 2: {"mine": "1"}}, {}, (), True),
        ({1: {}, 2: ours(1, appended=True)}, {1: 2}, (), True),
        ({2: ours(1, appended=True)}, {1: 2}, (), True),
        ({1: ours(1), 3: ours(2)}, {1: 1}, (3,), False),
        ({1: {FILLER: "true"}, 2: ours(2)}, {2: 2}, (1,), False),
        ({1: ours(1), 4: ours(1, appended=True)}, {1: 1}, (), True),
        ({4: ours(1, appended=True), 5: ours(1, appended=True)}, {1: 4}, (), True),
        ({1: ours(1, name="other"), 2: ours(2)}, {2: 2}, (), True),
    ],
)
def test_versions_are_placed(
    versions: dict[int, dict[str, str]], numbers: dict[int, int], leftovers: tuple[int, ...], others: bool
) -> None:
    assert placed(versions, IDENTITIES) == Placed(numbers=numbers, leftovers=leftovers, is_mixed=others)


@pytest.mark.parametrize(
    ("tags", "others"),
    [(ours(3), False), (ours(3, appended=True), True), (ours(4), True), (ours(3, name="other"), True), ({}, True)],
)
def test_versions_of_the_same_model_that_did_not_come_now_are_no_others(tags: dict[str, str], others: bool) -> None:
    assert placed({1: ours(1), 3: tags}, IDENTITIES, "default/churn").is_mixed is others
    assert placed({1: ours(1), 3: tags}, IDENTITIES).is_mixed


def planned(description: str | None, **tags: str) -> PlannedRegisteredModel:
    return PlannedRegisteredModel(identity="i", name="n", description=description, tags=tags)


def test_a_model_of_the_target_keeps_what_it_has() -> None:
    tags = {"team": "dev", "same": "1", "new": "2", "mlflow_export_import.registered_model.name": "n"}
    merged = merged_model(planned("Dev.", **tags), {"team": "prod", "same": "1", "own": "3"}, "Prod.")
    assert merged.plan == planned("Prod.", same="1", new="2")
    assert merged.not_set == {"tags": {"team": "dev"}, "description": "Dev."}


@pytest.mark.parametrize(
    ("description", "there", "becomes", "kept"),
    [("Dev.", "", "Dev.", None), ("Dev.", "Dev.", "Dev.", None), (None, "Prod.", "Prod.", ""), (None, "", None, None)],
)
def test_descriptions_of_both(description: str | None, there: str, becomes: str | None, kept: str | None) -> None:
    merged = merged_model(planned(description), {}, there)
    assert (merged.plan.description, merged.not_set) == (becomes, {"tags": None, "description": kept})


@pytest.mark.parametrize(
    ("there", "more", "both"),
    [(",1,", ",2,", ",1,2,"), ("1", ",1,", "1"), (",1,2,", ",2,", ",1,2,"), ("", ",3,", ",3,")],
)
def test_a_prompt_is_shown_in_the_experiments_of_both(there: str, more: str, both: str) -> None:
    key = "_mlflow_experiment_ids"
    merged = merged_model(planned(None, **{key: more}), {key: there}, "")
    assert merged.plan.tags == {key: both}
    assert merged.not_set["tags"] is None
