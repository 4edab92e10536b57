"""The tables of an archive as data (spec/tables.md).

Adding a kind of MLflow object means adding its tables here, a reader that yields them and a writer that takes
them; the archive writer, reader and verifier are driven by this list and know no table by name, but for the
blob index and the artifact list.

>>> TABLES["params"].key
('run_id', 'key')
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from mlflow_archive.kinds.archive_tables import COMMON_TABLES
from mlflow_archive.kinds.evaluation import EVALUATION_TABLES
from mlflow_archive.kinds.gateway import GATEWAY_TABLES
from mlflow_archive.kinds.logged_models import LOGGED_MODEL_TABLES
from mlflow_archive.kinds.mcp import MCP_TABLES
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
    INCREMENTAL,
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
    Table,
    is_identity,
    named_owner,
)
from mlflow_archive.kinds.registry import REGISTRY_TABLES
from mlflow_archive.kinds.runs import RUN_TABLES
from mlflow_archive.kinds.traces import TRACE_TABLES

__all__ = [
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
    "TABLES",
    "TIMESTAMP",
    "TRACE",
    "WEBHOOK",
    "WORKSPACE",
    "Column",
    "Table",
    "is_identity",
    "named_owner",
]

TABLES: Final = MappingProxyType(
    {
        table.name: table
        for table in (
            *RUN_TABLES,
            *LOGGED_MODEL_TABLES,
            *TRACE_TABLES,
            *REGISTRY_TABLES,
            *EVALUATION_TABLES,
            *GATEWAY_TABLES,
            *MCP_TABLES,
            *COMMON_TABLES,
        )
    }
)

IDENTITIES: Final = MappingProxyType(
    {table.entity: table for table in TABLES.values() if table.entity is not None and is_identity(table)}
)
"""By kind, the table that has a row for each object."""
