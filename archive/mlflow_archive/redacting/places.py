"""Where else the value of a column lies: MLflow keeps some twice, and what an import left names them again."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from mlflow_archive.kinds import TABLES, Table

_TWINS: Final = MappingProxyType(
    {
        "mlflow.user": "user_id",
        "mlflow.runName": "run_name",
        "mlflow.source.name": "source_name",
        "mlflow.source.type": "source_type",
        "mlflow.source.git.commit": "source_version",
        "mlflow.project.entryPoint": "entry_point_name",
    }
)
"""Tags of runs that MLflow writes with what is in a column of ``runs``."""
_TABLES: Final = MappingProxyType(
    {
        "run_info": "runs",
        "experiment": "experiments",
        "logged_model": "logged_models",
        "registered_model": "registered_models",
        "model_version": "model_versions",
        "trace": "traces",
    }
)
_SOURCE_TAG: Final = re.compile(
    r"(?:mlflow_export_import|mlflow_archive|mlflow_exim)\.(?:lineage\.[0-9]+\.)?(.*)", re.DOTALL
)

Place = tuple[str, str, str | None]
"""Table, column, and key where the table has one."""


def is_keyed(table: Table) -> bool:
    """Return whether the rows of a table are pairs of a key and a value."""
    return {"key", "value"} <= set(table.column_names)


@lru_cache(1 << 14)
def places_of(table: str, column: str, key: str | None) -> tuple[Place, ...]:
    """Return the places whose value a cell has: its own, and those that it repeats.

    >>> places_of("tags", "value", "mlflow_export_import.run_info.user_id")[1:]
    (('runs', 'user_id', None), ('tags', 'value', 'mlflow.user'))
    """
    places: list[Place] = [(table, column, key)]
    if column == "value" and key is not None:
        places += _of_source_tag(table, key)
    for place in list(places):
        places += _twins(*place)
    return tuple(dict.fromkeys(places))


def _of_source_tag(table: str, key: str) -> list[Place]:
    match = _SOURCE_TAG.fullmatch(key)
    if match is None:
        return []
    group, _, rest = match[1].partition(".")
    if group in _TABLES:
        return [(_TABLES[group], rest, None)]
    if group == "param":
        return [("params", "value", rest)]
    if match[1] == "metadata.experiment_name":
        return [("experiments", "name", None)]
    return [(table, "value", match[1])]


def _twins(table: str, column: str, key: str | None) -> list[Place]:
    if table == "runs":
        return [("tags", "value", tag) for tag, twin in _TWINS.items() if twin == column]
    if (table, column) == ("tags", "value") and key is not None and key in _TWINS:
        return [("runs", _TWINS[key], None)]
    return []


def is_text(table: Table, column: str) -> bool:
    """Return whether a column holds texts of people; digests and the words for kinds are none."""
    if table.name in ("blobs", "fingerprints") or column == "owner_kind":
        return False
    if (table.name, column) == ("artifacts", "digest"):
        return False
    return any(known.name == column and str(known.type) == "string" for known in table.columns)


def names_objects(table: str, column: str) -> bool:
    """Return whether a column says which object a row belongs to, or refers to one by its id."""
    owners = {name for known in TABLES.values() for name in known.owner if name.endswith("_id")}
    return column in TABLES[table].owner or column in owners


def matches(pattern: str | None, key: str | None) -> bool:
    """Return whether a glob for keys, None for all rows, takes a key."""
    return pattern is None or (key is not None and fnmatchcase(key, pattern))
