"""The map covers the whole of MLflow's schema: every table and column is mapped, derived, or left out with a reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mlflow.store.db.utils import _initialize_tables
from spec.generate import add_later
from sqlalchemy import Inspector, create_engine, inspect

from mlflow_archive.kinds import IDENTITIES, TABLES
from mlflow_archive.mlflow_database.mapping import DERIVED, LEFT_OUT, MAPS, ROOTS


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspector]:
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('schema') / 'head.db'}")
    _initialize_tables(engine)
    add_later(engine)
    yield inspect(engine)
    engine.dispose()


def test_every_table_of_the_database_is_accounted_for(schema: Inspector) -> None:
    mapped = {each.stored_in for each in MAPS.values()}
    assert set(schema.get_table_names()) == mapped | set(DERIVED) | set(LEFT_OUT)
    assert not mapped & (set(DERIVED) | set(LEFT_OUT))


def test_every_column_of_the_database_is_accounted_for(schema: Inspector) -> None:
    for table in {each.stored_in for each in MAPS.values()}:
        known: set[str] = set()
        for each in MAPS.values():
            if each.stored_in == table:
                names = (*each.fields.values(), *each.where, *each.not_carried, each.nan_flag or "", each.owner)
                known |= {name for name in names if "." not in name}
                known |= {column for join in each.joins for column in join.on.values() if "." not in column}
                known |= set(each.defaults)
        assert {column["name"] for column in schema.get_columns(table)} <= known, table


def test_every_mapped_column_exists(schema: Inspector) -> None:
    columns = {name: {c["name"] for c in schema.get_columns(name)} for name in schema.get_table_names()}
    for each in MAPS.values():
        for name in (*each.fields.values(), each.owner, *each.where, *each.blanked):
            table, dot, column = name.rpartition(".")
            assert column in columns[table if dot else each.stored_in], (each.table, name)
        assert ROOTS[each.kind].root_id in columns[ROOTS[each.kind].stored_in]


def test_every_archive_column_is_filled_or_has_no_place_in_a_database() -> None:
    nowhere = {("runs", "run_uuid"), ("metrics", "dataset_name"), ("metrics", "dataset_digest")}
    found = {
        (name, column)
        for name, each in MAPS.items()
        for column in TABLES[name].column_names
        if column not in each.fields
    }
    assert found == nowhere
    assert set(TABLES) - set(MAPS) == {"artifacts", "gaps", "fingerprints", "blobs"}


def test_kinds_are_those_of_the_format() -> None:
    assert {name: each.kind for name, each in MAPS.items()} == {name: TABLES[name].entity for name in MAPS}
    assert {kind: MAPS[table.name].stored_in for kind, table in IDENTITIES.items()} == {
        kind: root.stored_in for kind, root in ROOTS.items()
    }


def test_no_secret_is_mapped() -> None:
    never = {"encrypted_value", "wrapped_dek", "masked_value", "kek_version", "secret", "token_hash", "password_hash"}
    assert not {column.rpartition(".")[2] for each in MAPS.values() for column in each.fields.values()} & never
