"""What can be searched for each kind of object: its attributes and its groups of keys and values.

Names and aliases are those of MLflow's search (mlflow.utils.search_utils); a column of the archive's identity table
that MLflow does not search by its own name can be used under that name, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import (
    EVALUATION_DATASET,
    EXPERIMENT,
    IDENTITIES,
    LOGGED_MODEL,
    MODEL_VERSION,
    REGISTERED_MODEL,
    RUN,
    TABLES,
    TIMESTAMP,
    TRACE,
)

ATTRIBUTES: Final = "attributes"
_OF_ATTRIBUTES: Final = frozenset({"attribute", "attr", "attributes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Keys and values of an object: rows of ``table`` whose column ``key`` is the name asked for.

    ``latest`` takes the last row of each owner in the order of the table, as for metrics. Where only some names
    exist, ``names`` says which: to a column of the table (``key`` is None then), or to a key of another group.
    """

    table: str
    key: str | None = "key"
    value: str = "value"
    latest: bool = False
    names: Mapping[str, str | tuple[Group, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchableKind:
    """A kind of object: ``table`` has a row for each, ``owner`` are the columns by which groups refer to it."""

    kind: str
    table: str
    owner: tuple[str, ...]
    groups: Mapping[str, Group]
    aliases: Mapping[str, str] = field(default_factory=dict)
    attribute_aliases: Mapping[str, str] = field(default_factory=dict)

    def group(self, name: str) -> str:
        """Return the group that a name stands for. Raises SelectionError."""
        if name in _OF_ATTRIBUTES or name == self.kind:
            return ATTRIBUTES
        group = self.aliases.get(name, name)
        if group not in self.groups:
            raise SelectionError(
                f"{self.plural} have no {name!r} to search by; there are attributes, {', '.join(self.groups)}"
            )
        return group

    def name_in(self, group: str, name: str) -> str:
        """Return a name in a group, an attribute as its column. Raises SelectionError for one that cannot be."""
        if group == ATTRIBUTES:
            return self.attribute(name)
        known = self.groups[group].names
        if known and name not in known:
            raise SelectionError(f"{group} have no {name!r} to search by; there are {', '.join(known)}")
        return name

    def attribute(self, name: str) -> str:
        """Return the column that an attribute stands for. Raises SelectionError."""
        column = self.attribute_aliases.get(name, name)
        columns = TABLES[self.table].column_names
        if column not in columns:
            known = sorted({*columns, *self.attribute_aliases})
            raise SelectionError(f"{self.plural} have no attribute {name!r}; there are {', '.join(known)}")
        return column

    @property
    def plural(self) -> str:
        """What errors call these objects: ``logged models``."""
        return self.kind.replace("_", " ") + "s"

    def is_number(self, group: str, name: str) -> bool:
        """Return whether values of a field are compared as numbers."""
        if group == ATTRIBUTES:
            kind = TABLES[self.table].schema.field(name).type
        else:
            group_of_keys = self.groups[group]
            if group_of_keys.names:
                return False
            kind = TABLES[group_of_keys.table].schema.field(group_of_keys.value).type
        return bool(kind == TIMESTAMP or pa.types.is_integer(kind) or pa.types.is_floating(kind))

    def is_either(self, group: str) -> bool:
        """Return whether texts of a group may be compared with numbers too: JSON values of assessments."""
        return group in ("feedback", "expectation")


_DATASETS: Final = Group(
    table="dataset_inputs",
    key=None,
    names={
        "name": "dataset_name",
        "digest": "dataset_digest",
        "context": (Group(table="dataset_input_tags"), "mlflow.data.context"),
    },
)
_SPANS: Final = Group(
    table="spans", key=None, names={name: name for name in ("name", "type", "status", "content", "model_name")}
)


def _searchable(kind: str, **fields: Any) -> SearchableKind:
    return SearchableKind(kind=kind, table=IDENTITIES[kind].name, owner=IDENTITIES[kind].owner, **fields)


SEARCHABLE: Final = MappingProxyType(
    {
        RUN: _searchable(
            RUN,
            groups={
                "metrics": Group(table="metrics", latest=True),
                "params": Group(table="params"),
                "tags": Group(table="tags"),
                "datasets": _DATASETS,
            },
            aliases={
                "metric": "metrics",
                "param": "params",
                "parameter": "params",
                "parameters": "params",
                "tag": "tags",
                "dataset": "datasets",
            },
            attribute_aliases={"created": "start_time", "Created": "start_time", "run name": "run_name"}
            | {"Run name": "run_name", "Run Name": "run_name", "name": "run_name"},
        ),
        EXPERIMENT: _searchable(
            EXPERIMENT,
            groups={"tags": Group(table="experiment_tags")},
            aliases={"tag": "tags"},
        ),
        LOGGED_MODEL: _searchable(
            LOGGED_MODEL,
            groups={
                "metrics": Group(table="logged_model_metrics", latest=True),
                "params": Group(table="logged_model_params"),
                "tags": Group(table="logged_model_tags"),
            },
            aliases={"metric": "metrics", "param": "params", "parameter": "params", "tag": "tags"},
        ),
        TRACE: _searchable(
            TRACE,
            groups={
                "tags": Group(table="trace_tags"),
                "metadata": Group(table="trace_metadata"),
                "feedback": Group(table="assessments", key="name"),
                "expectation": Group(table="assessments", key="name"),
                "span": _SPANS,
            },
            aliases={"tag": "tags", "request_metadata": "metadata", "spans": "span"},
            attribute_aliases={
                "request_id": "trace_id",
                "timestamp": "request_time",
                "timestamp_ms": "request_time",
                "execution_time": "execution_duration_ms",
                "execution_time_ms": "execution_duration_ms",
                "execution_duration": "execution_duration_ms",
                "status": "state",
                "name": "trace_name",
            },
        ),
        REGISTERED_MODEL: _searchable(
            REGISTERED_MODEL,
            groups={"tags": Group(table="registered_model_tags")},
            aliases={"tag": "tags"},
            attribute_aliases={"creation_timestamp": "creation_time", "last_updated_timestamp": "last_updated_time"},
        ),
        EVALUATION_DATASET: _searchable(
            EVALUATION_DATASET,
            groups={"tags": Group(table="evaluation_dataset_tags")},
            aliases={"tag": "tags"},
        ),
        **{
            kind: _searchable(kind, groups={})
            for kind in IDENTITIES
            if kind not in (RUN, EXPERIMENT, LOGGED_MODEL, TRACE, REGISTERED_MODEL, EVALUATION_DATASET)
        },
        MODEL_VERSION: SearchableKind(
            kind=MODEL_VERSION,
            table="model_versions",
            owner=TABLES["model_versions"].key,
            groups={"tags": Group(table="model_version_tags")},
            aliases={"tag": "tags"},
            attribute_aliases={
                "version_number": "version",
                "creation_timestamp": "creation_time",
                "last_updated_timestamp": "last_updated_time",
                "source_path": "source",
            },
        ),
    }
)
"""By kind of entity; of registered models also their versions, as ``model_version``."""
