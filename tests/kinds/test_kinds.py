"""Kinds and tables are said once, and what is said goes together."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mlflow_archive
from mlflow_archive.kinds import (
    AFTER_RUNS,
    DATASET,
    EXPERIMENT,
    IDENTITIES,
    KINDS,
    LOGGED_MODEL,
    RUN,
    TABLES,
    TRACE,
    WORKSPACE,
    Kind,
    Table,
)
from mlflow_archive.sources.rest.source import PLANS


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_what_a_kind_refers_to_comes_first(kind: Kind) -> None:
    order = list(KINDS)
    assert all(order.index(other) < order.index(kind.name) for other in kind.refers)


def test_no_kind_is_missing() -> None:
    assert set(KINDS) == set(IDENTITIES) == {table.entity for table in TABLES.values()} - {"*", None}
    assert {WORKSPACE, EXPERIMENT, DATASET, RUN} | set(AFTER_RUNS) == set(KINDS)
    assert set(PLANS) == set(AFTER_RUNS)


def behind(kind: str) -> set[str]:
    """Return what a kind refers to, and what that refers to."""
    return set(KINDS[kind].refers).union(*(behind(other) for other in KINDS[kind].refers))


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.entity in KINDS], ids=lambda t: t.name)
def test_no_column_names_an_object_of_a_kind_that_comes_later(table: Table) -> None:
    named = {identity.owner[0]: kind for kind, identity in IDENTITIES.items() if len(identity.owner) == 1}
    del named["name"]
    others = {named[column] for column in table.column_names if column in named} - {table.entity}
    kept_until_the_end = {(RUN, LOGGED_MODEL)}
    assert {(table.entity, other) for other in others - behind(str(table.entity))} <= kept_until_the_end


def test_every_column_that_holds_a_uri_is_a_location() -> None:
    """Of these a password is taken off."""
    named = ("_uri", "_url", "_location", "_root", "url")
    columns = [(f"{table.name}.{column.name}", column) for table in TABLES.values() for column in table.columns]
    others = {"model_versions.source", "model_versions.run_link", "skill_versions.source"}
    assert {name for name, column in columns if column.location} == others | {
        name for name, _ in columns if name.endswith(named)
    }


def test_words_of_the_command_line_are_said_once() -> None:
    words = [each.word for kind in KINDS.values() for each in kind.lists]
    assert len(set(words)) == len(words)
    assert all(kind.lists for kind in KINDS.values())
    assert {kind.name for kind in KINDS.values() if not kind.word} == {WORKSPACE, EXPERIMENT, DATASET}


def test_the_largest_table_of_a_kind_is_its_own() -> None:
    assert {kind.name: TABLES[kind.largest].entity for kind in KINDS.values() if kind.largest} == {
        RUN: RUN,
        TRACE: TRACE,
    }


def words_in(module: Path) -> str:
    """Return the names, modules and texts of a module's code, without its docstrings."""
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    words = [node.id for node in nodes if isinstance(node, ast.Name)]
    words += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    words += [str(node.value) for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return " ".join(words).lower()


def test_a_kind_with_versions_and_files_is_known_to_its_own_modules_and_six_others() -> None:
    root = Path(mlflow_archive.__file__).parent
    own = {"kinds/skills.py", "sources/rest/objects/skills.py"}
    own |= {f"sinks/replay/objects/{name}.py" for name in ("skills", "skill_versions")}
    modules = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if "skill" in words_in(path)}
    assert own <= modules
    assert len(modules - own) <= 6, modules - own
