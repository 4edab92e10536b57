"""What MLflow keeps, as data: every kind of object, and the tables of an archive that hold it (spec/tables.md).

Start at ``model``, which says what a kind and a table are; there is one module a family. Pure: it imports nothing but
Arrow's types, and everyone may read it. The order of kinds, the archive writer, reader and verifier, and the map of
MLflow's database are driven by these records and know no kind or table by name, but for the blob index and the
artifact list.

>>> TABLES["params"].key
('run_id', 'key')
>>> KINDS["run"].refers
('experiment', 'dataset')
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from mlflow_archive.kinds.archive_tables import COMMON_TABLES
from mlflow_archive.kinds.evaluation import EVALUATION_KINDS, EVALUATION_TABLES
from mlflow_archive.kinds.gateway import GATEWAY_KINDS, GATEWAY_TABLES
from mlflow_archive.kinds.logged_models import LOGGED_MODEL_KINDS, LOGGED_MODEL_TABLES
from mlflow_archive.kinds.mcp import MCP_KINDS, MCP_TABLES
from mlflow_archive.kinds.model import (
    BUDGET_POLICY,
    BY_ROW,
    DATASET,
    DEFAULT_WORKSPACE,
    EVALUATION_DATASET,
    EXPERIMENT,
    GATEWAY_ENDPOINT,
    GATEWAY_SECRET,
    GUARDRAIL,
    ISSUE,
    LABEL_SCHEMA,
    LOGGED_MODEL,
    MCP_SERVER,
    MODEL_DEFINITION,
    NAME_IN_WORKSPACE,
    OWNER_SEPARATOR,
    REGISTERED_MODEL,
    REVIEW_QUEUE,
    RUN,
    SCORER,
    TIMESTAMP,
    TRACE,
    WEBHOOK,
    WORKSPACE,
    Column,
    Kind,
    Table,
    identity,
    is_identity,
    is_named,
    named_owner,
    owner_id,
)
from mlflow_archive.kinds.registry import REGISTRY_KINDS, REGISTRY_TABLES
from mlflow_archive.kinds.review import REVIEW_KINDS, REVIEW_TABLES
from mlflow_archive.kinds.runs import RUN_KINDS, RUN_TABLES
from mlflow_archive.kinds.skills import SKILL, SKILL_KINDS, SKILL_TABLES
from mlflow_archive.kinds.traces import TRACE_KINDS, TRACE_TABLES
from mlflow_archive.kinds.workspaces import WORKSPACE_KINDS, WORKSPACE_TABLES

__all__ = [
    "AFTER_RUNS",
    "BUDGET_POLICY",
    "BY_ROW",
    "DATASET",
    "DEFAULT_WORKSPACE",
    "EVALUATION_DATASET",
    "EXPERIMENT",
    "GATEWAY_ENDPOINT",
    "GATEWAY_SECRET",
    "GUARDRAIL",
    "IDENTITIES",
    "INCREMENTAL",
    "ISSUE",
    "KINDS",
    "LABEL_SCHEMA",
    "LOGGED_MODEL",
    "MCP_SERVER",
    "MODEL_DEFINITION",
    "NAME_IN_WORKSPACE",
    "OWNER_SEPARATOR",
    "REGISTERED_MODEL",
    "REVIEW_QUEUE",
    "RUN",
    "SCORER",
    "SKILL",
    "TABLES",
    "TIMESTAMP",
    "TRACE",
    "WEBHOOK",
    "WORKSPACE",
    "Column",
    "Kind",
    "Table",
    "identity",
    "is_identity",
    "is_named",
    "named_owner",
    "owner_id",
]


def _ordered(kinds: Iterable[Kind]) -> Mapping[str, Kind]:
    """Return kinds by name, each behind those it refers to, and else in the order given."""
    declared = {kind.name: kind for kind in kinds}
    ordered: dict[str, Kind] = {}

    def add(kind: Kind) -> None:
        for name in kind.refers:
            if name not in ordered:
                add(declared[name])
        ordered[kind.name] = kind

    for kind in declared.values():
        if kind.name not in ordered:
            add(kind)
    return MappingProxyType(ordered)


KINDS: Final = _ordered(
    (
        *WORKSPACE_KINDS,
        *RUN_KINDS,
        *LOGGED_MODEL_KINDS,
        *TRACE_KINDS,
        *EVALUATION_KINDS,
        *GATEWAY_KINDS,
        *REVIEW_KINDS,
        *REGISTRY_KINDS,
        *MCP_KINDS,
        *SKILL_KINDS,
    )
)
"""By name, in the order in which every source yields them: what is referred to before what refers to it."""

INCREMENTAL: Final = tuple(kind.name for kind in KINDS.values() if kind.incremental)
"""Kinds with fingerprints."""

AFTER_RUNS: Final = tuple(KINDS)[tuple(KINDS).index(RUN) + 1 :]
"""The kinds behind workspaces, experiments, datasets and runs."""

TABLES: Final = MappingProxyType(
    {
        table.name: table
        for table in (
            *RUN_TABLES,
            *LOGGED_MODEL_TABLES,
            *TRACE_TABLES,
            *REGISTRY_TABLES,
            *WORKSPACE_TABLES,
            *EVALUATION_TABLES,
            *REVIEW_TABLES,
            *GATEWAY_TABLES,
            *MCP_TABLES,
            *SKILL_TABLES,
            *COMMON_TABLES,
        )
    }
)

IDENTITIES: Final = MappingProxyType(
    {table.entity: table for table in TABLES.values() if table.entity is not None and is_identity(table)}
)
"""By kind, the table that has a row for each object."""
