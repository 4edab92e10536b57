"""copy: the options of an export and an import, what it says, its receipt and exit codes; and what they select."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest

from mlflow_archive_cli.commands import copy, export, import_
from mlflow_archive_cli.selecting import selected_kinds
from tests.cli.conftest import Command
from tests.contracts.selection_world import LEAF, write_mlruns
from tests.support.databases import empty_database

REGISTRY = ("registered_model",)


def names(command: click.Command) -> set[str]:
    return {str(option.name) for option in command.params}


def test_the_options_are_those_of_export_and_import() -> None:
    of_archives = {"archive", "uri", "unknown_tables", "level", "append", "recheck", "same_source", "report"}
    of_archives |= {"at", "base", "redact", "key_file", "processes", "dask"}  # what a copy does not do it does not take
    both = names(export.command) | names(import_.command)
    assert names(copy.command) == {"source", "target"} | (both - of_archives)
    assert len(copy.command.params) == len(names(copy.command))


def test_a_copy_of_nested_runs_and_again(cli: Command, tmp_path: Path) -> None:
    store, receipt = write_mlruns(tmp_path / "mlruns"), tmp_path / "receipt.json"
    shutil.copyfile(empty_database(), tmp_path / "mlflow.db")
    place = [f"sqlite:///{tmp_path / 'mlflow.db'}", "--artifact-root", tmp_path / "artifacts", "--receipt", receipt]
    chosen = ["--run", LEAF, "--run", "f" * 32, "--with-parents", "--without", "traces", "--without", "logged-models"]
    planned = cli("copy", store, *place, *chosen, "--dry-run")
    assert planned.code == 3
    assert planned.out.startswith(f"would copy {store} to {place[0]}\n  experiments  2\n  runs         3\n")
    done = cli("copy", store, *place, *chosen)
    assert done.code == 3
    assert done.out.startswith(f"copied {store} to {place[0]}\n  experiments  2\n  runs         3\n  created      3\n")
    assert "1 things could not be copied:\n" in done.err
    facts = json.loads(receipt.read_text())
    assert (facts["source"], facts["state"], facts["complete"]) == (str(store), "done", False)
    assert (facts["created"], facts["selection"]["parents"]) == (3, True)
    assert [(gap["code"], gap["owner_id"]) for gap in facts["exported"]["gaps"]] == [("G501", "f" * 32)]

    assert cli("copy", store, *place, *chosen[:2], *chosen[4:], "-q").code == 0
    facts = json.loads(receipt.read_text())
    assert (facts["created"], facts["updated"], facts["skipped"], facts["complete"]) == (0, 0, 3, True)
    assert facts["exported"]["gaps"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{store}", "{store}"], "source and target are both"),
        (["{store}", "sqlite:///x.db", "--versions", "three"], "'three' names no versions"),
        (["{store}", "sqlite:///x.db", "--with-children"], "parents and children come with runs that are named"),
        (["{store}", "sqlite:///x.db", "--experiment", "one", "--stages", "Production"], "none comes; name some"),
    ],
)
def test_what_has_no_meaning_is_a_usage_error(cli: Command, tmp_path: Path, arguments: list[str], message: str) -> None:
    ran = cli("copy", *(argument.format(store=tmp_path) for argument in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


@pytest.mark.parametrize(
    ("only", "without", "expected"),
    [
        ([], [], ((), "all")),
        (["registry"], [], (REGISTRY, "all")),
        (["prompts"], [], (REGISTRY, "prompts")),
        (["registered-models"], [], (REGISTRY, "models")),
        (["registered-models", "prompts"], [], (REGISTRY, "all")),
        (["registry"], ["registered-models"], (REGISTRY, "prompts")),
        (["prompts", "runs"], [], (("run", "registered_model"), "prompts")),
        ([], ["prompts"], ((), "models")),
        ([], ["registered-models"], ((), "prompts")),
    ],
)
def test_kinds_that_only_and_without_leave(
    only: list[str], without: list[str], expected: tuple[tuple[str, ...], str]
) -> None:
    assert selected_kinds(only, without) == expected


def test_without_the_registry_none_of_it_is_left() -> None:
    for words in (["registry"], ["registered-models", "prompts"]):
        kinds, registry = selected_kinds([], words)
        assert ("registered_model" in kinds, "run" in kinds, registry) == (False, True, "all")
    with pytest.raises(click.UsageError):
        selected_kinds(["prompts"], ["registry"])
