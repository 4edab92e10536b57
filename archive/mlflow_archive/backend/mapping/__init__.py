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

from mlflow_archive.backend.mapping.model import Constant, Join, Root, TableMap
from mlflow_archive.backend.mapping.runs import RUN_MAPS, RUN_ROOTS

__all__ = ["DERIVED", "MAPS", "ROOTS", "Constant", "Join", "Root", "TableMap"]

ROOTS: Final = MappingProxyType({root.kind: root for root in RUN_ROOTS})
"""By kind of entity."""

MAPS: Final = MappingProxyType({each.table: each for each in RUN_MAPS})
"""By archive table. Tables without a map have no place in a database."""

DERIVED: Final = MappingProxyType({"latest_metrics": "The newest point of each metric of a run; rebuilt by a restore."})
"""Tables of the database that follow from others: never archived."""
