"""Objects that have neither an id nor a tag of the source: found by what they are, as the replay finds them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from mlflow_archive.api.proof.mapping import mapped
from mlflow_archive.api.proof.planning import Share
from mlflow_archive.kinds import (
    BUDGET_POLICY,
    EXPERIMENT,
    GATEWAY_ENDPOINT,
    GATEWAY_SECRET,
    GUARDRAIL,
    IDENTITIES,
    ISSUE,
    KINDS,
    LABEL_SCHEMA,
    MODEL_DEFINITION,
    REVIEW_QUEUE,
    SCORER,
    TRACE,
    WEBHOOK,
    WORKSPACE,
)
from mlflow_archive.reader.archive import Archive
from mlflow_archive.sinks.replay.traces.trace_info import target_trace_id
from mlflow_archive.sinks.replay.writing.rows import Row

_BY: Final = {
    EXPERIMENT: ("name",),
    SCORER: ("experiment_id", "name"),
    LABEL_SCHEMA: ("experiment_id", "name"),
    REVIEW_QUEUE: ("experiment_id", "name"),
    ISSUE: ("experiment_id", "name", "description"),
    GATEWAY_SECRET: ("secret_name",),
    MODEL_DEFINITION: ("name",),
    GATEWAY_ENDPOINT: ("name",),
    GUARDRAIL: ("name", "scorer_id", "stage"),
    BUDGET_POLICY: ("budget_unit", "target_scope", "target_value", "budget_action"),
    WEBHOOK: ("name", "url"),
}
"""Columns by which objects are found where no receipt and no tag says what became of them."""
_PREFIXED: Final = {
    GATEWAY_SECRET: "secret_name",
    MODEL_DEFINITION: "name",
    GATEWAY_ENDPOINT: "name",
    GUARDRAIL: "name",
}


class Matching:
    """Finds such objects in the target, each once."""

    def __init__(self, target: Archive) -> None:
        self._target = target
        self._free: dict[str, dict[tuple[Any, ...], list[str]]] = {}

    @property
    def kinds(self) -> list[str]:
        """The kinds of such objects, those that others refer to before these."""
        return [kind for kind in KINDS if kind in _BY]

    def match(self, part: Share) -> None:
        """Take the pairs of a part into the ids, where these do not have them yet."""
        ids, table = part.sides.ids, IDENTITIES[part.kind]
        for row in part.source_rows(table.name) if part.kind in (*_BY, TRACE, WORKSPACE) else ():
            source_id = row[table.owner[0]]
            target_id = ids.of(part.kind).get(source_id) or self._target_id(part, row, source_id)
            if target_id is not None:
                ids.add(part.kind, source_id, target_id)
                part.context.receipt.mapped(part.kind, source_id, target_id)

    def _target_id(self, part: Share, row: Row, source_id: str) -> str | None:
        if part.kind == TRACE:
            return target_trace_id(source_id, part.context.options.limits.trace_id)
        if part.kind == WORKSPACE:
            return source_id
        columns, ids = _BY[part.kind], part.sides.ids
        key = _key(part, mapped(IDENTITIES[part.kind], row, ids), columns)
        candidates = self._of(part.kind, columns, set(ids.of(part.kind).values())).get(key)
        return candidates.pop(0) if candidates else None

    def _of(self, kind: str, columns: tuple[str, ...], assigned: set[str]) -> dict[tuple[Any, ...], list[str]]:
        if kind not in self._free:
            table = IDENTITIES[kind]
            by_key: dict[tuple[Any, ...], list[str]] = defaultdict(list)
            for row in self._target.table(table.name).to_pylist():
                if row[table.owner[0]] not in assigned:
                    by_key[tuple(row[name] for name in columns)].append(row[table.owner[0]])
            self._free[kind] = by_key
        return self._free[kind]


def _key(part: Share, row: Row, columns: tuple[str, ...]) -> tuple[Any, ...]:
    prefixed = _PREFIXED.get(part.kind)
    return tuple(part.context.prefixed(row[name]) if name == prefixed else row[name] for name in columns)
