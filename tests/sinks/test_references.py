"""Ids and names inside content: each is replaced where it stands, and every other character stays as it was."""

from __future__ import annotations

import json

import pytest

from mlflow_archive.format.source_tags import shorten
from mlflow_archive.sinks.replay.writing.references import (
    LINKED_PROMPTS,
    fit_history,
    is_mlmodel,
    models_in_history,
    models_in_mlmodel,
    remap_history,
    remap_linked_prompts,
    remap_mlmodel,
    without_model_ids,
)

ENTRIES = [{"run_id": "a" * 32, "artifact_path": path} for path in ("oldest", "middle", "newest")]
WHOLE = json.dumps(ENTRIES)
NEWEST_TWO, NEWEST = json.dumps(ENTRIES[1:]), json.dumps(ENTRIES[2:])


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (len(WHOLE), WHOLE),
        (len(WHOLE) - 1, NEWEST_TWO),
        (len(NEWEST_TWO), NEWEST_TWO),
        (len(NEWEST_TWO) - 1, NEWEST),
        (len(NEWEST), NEWEST),
    ],
    ids=["all", "all but one character", "two", "two but one character", "one"],
)
def test_a_history_keeps_the_newest_entries_that_fit(limit: int, expected: str) -> None:
    assert fit_history(WHOLE, limit) == expected


@pytest.mark.parametrize(
    "value", [WHOLE, json.dumps(ENTRIES[:1]), "{" * 200, json.dumps({"k": "v" * 200}), "[]" + " " * 200]
)
def test_a_history_of_which_no_entry_fits_or_that_is_no_list_is_cut_by_digest(value: str) -> None:
    limit = len(NEWEST) - 1
    assert len(value) > limit
    assert fit_history(value, limit) == shorten(value, limit)
    assert len(fit_history(value, limit)) <= limit


IDS = {"r1": "R1", "m-1": "M-1", "gone": None}
HISTORY_TEXT = '[{"run_id" :  "r1","x":"r1", "model_id":"m-1"}, {"model_uuid": "m-2", "run_id": "gone", "run": "r1"}]'


def test_ids_in_a_history_are_replaced_where_they_are_known() -> None:
    assert remap_history(HISTORY_TEXT, IDS.get) == (
        '[{"run_id" :  "R1","x":"r1", "model_id":"M-1"}, {"model_uuid": "m-2", "run_id": "gone", "run": "r1"}]'
    )
    assert remap_history(r'{"run_id": "r\\1"}', IDS.get) == r'{"run_id": "r\\1"}'


def test_models_of_a_history() -> None:
    assert models_in_history(HISTORY_TEXT) == {"m-1", "m-2"}
    assert models_in_history('{"model_uuid": "0123", "model_id": "m-", "run_id": "m-3"}') == set()
    assert without_model_ids(HISTORY_TEXT) == (
        '[{"run_id" :  "r1","x":"r1", "model_id":""}, {"model_uuid": "", "run_id": "gone", "run": "r1"}]'
    )


def test_linked_prompts_get_the_names_that_they_have_there() -> None:
    value = r'[{"name": "a", "version": "1"}, {"v": 2, "name" : "b\"c"}, {"name":"\q"}, {"name": "s\u0061me"}]'
    names = {"a": "é/a", 'b"c': "d"}
    tags = {LINKED_PROMPTS: value, "other": '{"name": "a"}'}
    assert remap_linked_prompts(tags, lambda name: names.get(name, name)) == {
        LINKED_PROMPTS: (
            r'[{"name": "\u00e9/a", "version": "1"}, {"v": 2, "name" : "d"}, {"name":"\q"}, {"name": "s\u0061me"}]'
        ),
        "other": '{"name": "a"}',
    }


def test_linked_prompts_get_the_numbers_that_they_have_there() -> None:
    value = (
        r'[{"name": "a{", "version" :"1"}, {"version": "1", "name": "b"}, {"name": "a{"}, {"name":"a{","version":2}]'
    )
    remapped = remap_linked_prompts(
        {LINKED_PROMPTS: value},
        lambda name: f"x{name}",
        lambda name, version: f"{version}7" if "a" in name else version,
    )
    assert remapped == {
        LINKED_PROMPTS: (
            '[{"name": "xa{", "version" :"17"}, {"version": "1", "name": "xb"}, {"name": "xa{"}, '
            '{"name":"xa{","version":2}]'
        )
    }


def test_a_linked_prompt_whose_number_stays_keeps_every_character() -> None:
    value = r'[{"name": "a", "version": "\u0031"}, {"name": 1, "version": "1"}, {"name": null, "version": 1}]'

    def numbered(name: str, version: str) -> str:
        assert (name, version) == ("a", "1")
        return version

    assert remap_linked_prompts({LINKED_PROMPTS: value}, lambda name: name, numbered) == {LINKED_PROMPTS: value}


@pytest.mark.parametrize("tags", [{}, {LINKED_PROMPTS: None}, {LINKED_PROMPTS: "", "a": None}])
def test_tags_without_linked_prompts_stay(tags: dict[str, str | None]) -> None:
    same = remap_linked_prompts(tags, lambda _: "x")
    assert same == tags
    assert same is not tags


MLMODEL = (
    b"artifact_path: model\n"
    b"run_id: r1\r\n"
    b"flavors:\n"
    b"  run_id: r1\n"
    b"model_id: 'm-1'\n"
    b'model_uuid:  "m-2" \n'
    b"run_id: gone\n"
    b"model_id: \xff\n"
    b"model_id: 'm-1\"\n"
    b"my_run_id: r1"
)


def test_ids_in_an_mlmodel_file_are_replaced_at_the_top_level() -> None:
    asked: list[str] = []

    def mapped(source_id: str) -> str | None:
        asked.append(source_id)
        return IDS.get(source_id)

    expected = MLMODEL.replace(b"model\nrun_id: r1", b"model\nrun_id: R1").replace(b"'m-1'", b"'M-1'")
    assert remap_mlmodel(MLMODEL, mapped) == expected
    assert asked == ["r1", "m-1", "m-2", "gone", "\ufffd"]
    assert models_in_mlmodel(MLMODEL) == {"m-1", "m-2"}
    assert models_in_mlmodel(b"model_id: m-\xff") == {"m-\ufffd"}


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("MLmodel", True), ("a/b/MLmodel", True), ("MLmodel/x", False), ("aMLmodel", False), ("", False)],
)
def test_which_artifact_is_an_mlmodel_file(path: str, is_one: bool) -> None:
    assert is_mlmodel(path) is is_one
