"""Which differences the import itself has announced: what its receipt lists as refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from mlflow_archive.api.differences import FieldChange
from mlflow_archive.kinds import EXPERIMENT, RUN
from mlflow_archive.sinks.replay.writing.receipt import Receipt

Refusal = Mapping[str, Any]


class Refusals:
    """The refusals of an import, by kind and source id: those of its receipt, and those that are ``planned``."""

    def __init__(self, receipt: Mapping[str, Any], planned: Receipt) -> None:
        self._planned = planned
        self._by_object: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
        self._arrived: Mapping[str, Mapping[str, Any]] = {
            **receipt.get("ids", {}),
            RUN: receipt.get("runs", {}),
            EXPERIMENT: receipt.get("experiments", {}),
        }
        for refusal in receipt.get("refusals", ()):
            self._by_object[refusal["kind"], refusal["id"]].append(refusal)

    def of_object(self, kind: str, source_id: str) -> Refusal | None:
        """Return why an object is not in the target: its own refusal, or that of its kind if it never arrived."""
        own = [refusal for refusal in self._by_object.get((kind, source_id), ()) if not refusal["path"]]
        of_kind = self._by_object.get((kind, ""), ()) if not self._arrived.get(kind, {}).get(source_id) else ()
        return next(iter([*own, *of_kind]), None)

    def of_change(self, kind: str, source_id: str, change: FieldChange) -> Refusal | None:
        """Return the refusal of what a change says is missing or other in the target."""
        planned: list[Refusal] = [gap.row() for gap in self._planned.gaps(kind, source_id)]
        refusals = [*self._by_object.get((kind, source_id), ()), *planned]
        return next((refusal for refusal in refusals if refusal["path"] and refusal["path"] in _paths(change)), None)


def _paths(change: FieldChange) -> Collection[str]:
    """Return by which paths a refusal may name what a change is about."""
    # The number of a version that a merged model lacks has a minus (versions.KnownVersions).
    values = [str(abs(value) if isinstance(value, int) else value) for value in change.key.values()]
    last = values[-1] if values else ""
    folders = ("versions", "aliases", "alias", "items", "tags", "schemas", "endpoints")
    icons = f"versions/{last}/icons"
    return {*values, "/".join(values), *(f"{folder}/{last}" for folder in folders), icons, change.table, change.field}
