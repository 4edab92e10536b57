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

from mlflow_archive.kinds import (
    archive_tables,
    evaluation,
    gateway,
    logged_models,
    mcp,
    registry,
    review,
    runs,
    skills,
    traces,
    workspaces,
)
from mlflow_archive.kinds.files import Uploads
from mlflow_archive.kinds.model import (
    BUDGET_POLICY,
    BY_ROW,
    DATASET,
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
    MODEL_VERSION,
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
    is_identity,
    is_named,
    owner_id,
    qualifiers,
)
from mlflow_archive.kinds.owner_id import DEFAULT_WORKSPACE, OWNER_SEPARATOR, named_owner
from mlflow_archive.kinds.skills import SKILL

__all__ = [
    "AFTER_RUNS",
    "BUDGET_POLICY",
    "BY_ROW",
    "DATASET",
    "DEFAULT_WORKSPACE",
    "EVALUATION_DATASET",
    "EXPERIMENT",
    "FILES",
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
    "MODEL_VERSION",
    "OWNER_SEPARATOR",
    "REGISTERED_MODEL",
    "REVIEW_QUEUE",
    "RUN",
    "SCORER",
    "SKILL",
    "TABLES",
    "TIMESTAMP",
    "TRACE",
    "UPLOADS",
    "WEBHOOK",
    "WORKSPACE",
    "Column",
    "Kind",
    "Table",
    "Uploads",
    "is_identity",
    "is_named",
    "named_owner",
    "owner_id",
    "qualifiers",
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


_KINDS: Final = (workspaces, runs, logged_models, traces, evaluation, gateway, review, registry, mcp, skills)
_TABLES: Final = (
    runs,
    logged_models,
    traces,
    registry,
    workspaces,
    evaluation,
    review,
    gateway,
    mcp,
    skills,
    archive_tables,
)

KINDS: Final = _ordered(kind for family in _KINDS for kind in family.KINDS)
"""By name, in the order in which every source yields them: what is referred to before what refers to it."""

INCREMENTAL: Final = tuple(kind.name for kind in KINDS.values() if kind.incremental)
"""Kinds with fingerprints."""

AFTER_RUNS: Final = tuple(KINDS)[tuple(KINDS).index(RUN) + 1 :]
"""The kinds behind workspaces, experiments, datasets and runs."""

FILES: Final = MappingProxyType({name: kind.files for name, kind in KINDS.items() if kind.files is not None})
"""By kind whose objects can have files, where these lie."""

UPLOADS: Final = MappingProxyType({kind: files for kind, files in FILES.items() if isinstance(files, Uploads)})
"""By kind, where the files lie that somebody uploaded to versions of its objects."""

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {table.name: table for family in _TABLES for table in family.TABLES}
)

IDENTITIES: Final = MappingProxyType(
    {table.entity: table for table in TABLES.values() if table.entity is not None and is_identity(table)}
)
"""By kind, the table that has a row for each object."""
