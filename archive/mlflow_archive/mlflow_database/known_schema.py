"""What this program knows of MLflow's schema: its revisions, and the columns of each table that an archive takes in.

Whatever else a database holds was added by a later MLflow, or by someone else; an export says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from mlflow_archive.mlflow_database.mapping import DERIVED, LEFT_OUT, MAPS, TableMap

REVISIONS: Final = frozenset(
    (
        "451aebb31d03", "90e64c465722", "181f10493468", "df50e92ffc5e", "7ac759974ad8", "89d4b8295536",
        "2b4d017a5e9b", "cfd24bdc0731", "0a8213491aaa", "728d730b5ebd", "27a6a02d2cf1", "84291f40a231",
        "a8c4a736bde6", "39d1c3be5f05", "c48cb773bb87", "bd07f7e963c5", "0c779009ac13", "cc1f77228345",
        "97727af70f4d", "3500859a5d39", "7f2a7d5fae7d", "2d6e25af4d3e", "acf3f17fdcc7", "867495a8f9d4",
        "5b0e9adcef9c", "4465047574b1", "f5a4f2784254", "0584bdc529eb", "400f98739977", "6953534de441",
        "bda7b8c39065", "cbc13b556ace", "770bee3ae1dd", "a1b2c3d4e5f6", "de4033877273", "1a0cddfcaa16",
        "534353b11cbc", "71994744cf8e", "3da73c924c2f", "bf29a5ff90ea", "1bd49d398cd23", "b7c8d9e0f1a2",
        "5d2d30f0abce", "c9d4e5f6a7b8", "2c33131f4dae", "d3e4f5a6b7c8", "d0e1f2a3b4c5", "c8d9e0f1a2b3",
        "1b5f0d9ad7c1", "e1f2a3b4c5d6", "76601a5f987d", "c3d6457b6d8a", "a5b4c3d2e1f0", "ae8bbe7743c9",
        "7d34483879f0", "da6fb0208061", "89d3d66ed43f", "b7e4c1a90f23", "a8b9c0d1e2f3", "c1d2e3f4a5b6",
        "c3d9e7f1a2b4", "6f8d9c3b2a1e", "1971f2d9a75b", "17e22815139b", "b7e2c1a4d9f3", "75868b020152",
        "dc11669786a5", "e7d1f4b2a9c6", "8b6ad64cb8f5", "f4a9b2c7d1e6",
    )
)  # fmt: skip
"""Every revision of the schema from MLflow 1.0 to 3.18."""

VERSION_TABLE: Final = "alembic_version"
"""The table with the revision of the schema."""

ACCOUNT_REVISIONS: Final = "alembic_version_auth"
"""The table by which a database is known to hold the accounts of MLflow's own log-in, too."""

ACCOUNTS: Final = frozenset(
    (
        ACCOUNT_REVISIONS,
        "users",
        "roles",
        "role_permissions",
        "user_role_assignments",
        "experiment_permissions",
        "registered_model_permissions",
        "scorer_permissions",
        "workspace_permissions",
        "gateway_endpoint_permissions",
        "gateway_model_definition_permissions",
        "gateway_secret_permissions",
    )
)
"""Users with hashes of their passwords, and what they may do: never archived."""


def is_known_table(name: str, tables: frozenset[str]) -> bool:
    """Return whether a table, one of the ``tables`` of a database, is MLflow's, whether or not it is archived."""
    if name in ACCOUNTS:
        return ACCOUNT_REVISIONS in tables
    return name in KNOWN_COLUMNS or name in DERIVED or name in LEFT_OUT


def _places(table_map: TableMap) -> Iterator[tuple[str, str]]:
    """Yield each table and column that a map reads, or leaves out with a reason."""
    own = (*table_map.fields.values(), table_map.owner, *table_map.where, *table_map.not_carried)
    joined = [column for join in table_map.joins for column in join.on.values()]
    for place in (*own, *joined, *((table_map.nan_flag,) if table_map.nan_flag else ())):
        name, dot, column = place.rpartition(".")
        yield name if dot else table_map.stored_in, column
    for join in table_map.joins:
        for column in join.on:
            yield join.table, column


def _known_columns() -> Mapping[str, frozenset[str]]:
    columns: dict[str, set[str]] = {}
    for table_map in MAPS.values():
        for name, column in _places(table_map):
            columns.setdefault(name, set()).add(column)
    return {name: frozenset(names) for name, names in columns.items()}


KNOWN_COLUMNS: Final = MappingProxyType(_known_columns())
"""By table of the database: the columns that are archived, or left out with a reason."""
