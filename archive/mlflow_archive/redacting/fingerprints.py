"""Fingerprints of what stays: those of an archive would tell what was taken out to whoever guesses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.fingerprint import (
    Fingerprint,
    LatestMetric,
    entity_fingerprint,
    point_order,
    run_fingerprint,
)
from mlflow_archive.kinds import RUN, TABLES, TIMESTAMP

_POINT: Final = ("step", "timestamp", "value")
_ORDER: Final = ("run_id", "key", "step", "timestamp", "rank")


@dataclass(slots=True)
class _Entity:
    rows: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    files: list[ArtifactFile] = field(default_factory=list)
    latest: dict[str, LatestMetric] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)


class Fingerprints:
    """Those of the entities of one kind in one shard, of whose tables the chunks come one after the other."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entities: dict[str, _Entity] = {}

    def add(self, tables: Mapping[str, pa.Table], files: Sequence[ArtifactFile]) -> None:
        """Take the rows and artifacts of a chunk."""
        for name, rows in tables.items():
            table = TABLES[name]
            if name == "metrics":
                self._add_points(rows)
            elif table.entity == self._kind and name != "spans":
                for row in _plain(rows):
                    self._entity(row[table.owner[0]]).rows.setdefault(name, []).append(row)
        for file in files:
            self._entity(file.owner_id).files.append(file)

    def _entity(self, owner: str) -> _Entity:
        return self._entities.setdefault(owner, _Entity())

    def _add_points(self, rows: pa.Table) -> None:
        rank = pc.if_else(pc.is_nan(rows["value"]), 0.0, rows["value"])  # as in ``point_order``
        ordered = rows.append_column("rank", rank).sort_by([(name, "ascending") for name in _ORDER])
        histories = ordered.group_by(["run_id", "key"], use_threads=False).aggregate(
            [*((name, "last") for name in _POINT), ("step", "count")]
        )
        for row in _plain(histories):
            entity, key = self._entity(row["run_id"]), row["key"]
            step, time, value = (row[f"{name}_last"] for name in _POINT)
            entity.points[key] = entity.points.get(key, 0) + row["step_count"]
            latest = (key, step, time, value)
            entity.latest[key] = max(entity.latest.get(key, latest), latest, key=point_order)

    def of(self, owner: str) -> Fingerprint:
        """Return that of an entity, whose rows have all come."""
        entity = self._entity(owner)
        if self._kind != RUN:
            return entity_fingerprint(entity.rows, entity.files)
        params, tags = ({row["key"]: row["value"] for row in entity.rows.get(name, ())} for name in ("params", "tags"))
        [info] = entity.rows["runs"]
        return run_fingerprint(info, params, tags, entity.latest.values(), entity.files, entity.points)


def _plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows as dictionaries, times as milliseconds: Python's own end in the year 9999."""
    for at, known in enumerate(rows.schema):
        if known.type == TIMESTAMP:
            rows = rows.set_column(at, known.name, rows[known.name].cast(pa.int64()))
    plain: list[dict[str, Any]] = rows.to_pylist()
    return plain
