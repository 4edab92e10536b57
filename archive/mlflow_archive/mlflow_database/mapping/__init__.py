"""Which database column holds which archive column; read by the database source, inverted by the restore.

Adding a kind of MLflow object to both means adding its :class:`TableMap` here. Types follow from the archive's
schema: an archive string over an integer column is that integer in decimal, over a JSON column its text; an archive
timestamp over a BIGINT is milliseconds since the epoch.

>>> MAPS["params"].fields["run_id"]
'run_uuid'
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from mlflow_archive.mlflow_database.mapping.evaluation import EVALUATION_MAPS, EVALUATION_ROOTS
from mlflow_archive.mlflow_database.mapping.gateway import GATEWAY_MAPS, GATEWAY_ROOTS, MCP_MAPS
from mlflow_archive.mlflow_database.mapping.logged_models import LOGGED_MODEL_MAPS, LOGGED_MODEL_ROOTS
from mlflow_archive.mlflow_database.mapping.model import Constant, Join, Root, TableMap
from mlflow_archive.mlflow_database.mapping.registry import REGISTRY_MAPS, REGISTRY_ROOTS
from mlflow_archive.mlflow_database.mapping.runs import RUN_MAPS, RUN_ROOTS
from mlflow_archive.mlflow_database.mapping.traces import TRACE_MAPS, TRACE_ROOTS

__all__ = ["DERIVED", "LEFT_OUT", "MAPS", "ROOTS", "Constant", "Join", "Root", "TableMap"]

ROOTS: Final = MappingProxyType(
    {
        root.kind: root
        for root in (*RUN_ROOTS, *LOGGED_MODEL_ROOTS, *TRACE_ROOTS, *REGISTRY_ROOTS, *EVALUATION_ROOTS, *GATEWAY_ROOTS)
    }
)
"""By kind of entity."""

MAPS: Final = MappingProxyType(
    {
        each.table: each
        for each in (
            *RUN_MAPS,
            *LOGGED_MODEL_MAPS,
            *TRACE_MAPS,
            *REGISTRY_MAPS,
            *EVALUATION_MAPS,
            *GATEWAY_MAPS,
            *MCP_MAPS,
        )
    }
)
"""By archive table. Tables without a map have no place in a database."""

DERIVED: Final = MappingProxyType(
    {
        "latest_metrics": "The newest point of each metric of a run; rebuilt by a restore.",
        "sql_trace_metric_daily_rollups": "Analytics that the server makes from traces.",
        "sql_span_cost_daily_rollups": "Analytics that the server makes from spans.",
        "sql_assessment_daily_rollups": "Analytics that the server makes from assessments.",
        "trace_metrics": "An earlier form of the token columns of traces; MLflow 3.17 does not use it.",
        "span_metrics": "An earlier form of the cost columns of spans; MLflow 3.17 does not use it.",
    }
)
"""Tables of the database that follow from others: never archived."""

LEFT_OUT: Final = MappingProxyType(
    {
        "alembic_version": "The schema revision is a fact of the source in the manifest.",
        "sql_trace_rollup_rebuild_queue": "Work queue of the server.",
        "jobs": "Work of the server, with hashes of tokens.",
        "job_locks": "Work of the server.",
        "scheduler_leases": "Work of the server.",
    }
)
"""Tables of the database that are never archived, for another reason."""
