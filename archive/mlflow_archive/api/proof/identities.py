"""Which object of the target each object of the archive became: by the receipt, else by what the import left there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from mlflow_archive.api.receipts import Document
from mlflow_archive.format.source_tags import SOURCE_EXPERIMENT_ID, SOURCE_RUN_ID
from mlflow_archive.kinds import (
    EVALUATION_DATASET,
    EXPERIMENT,
    IDENTITIES,
    ISSUE,
    LOGGED_MODEL,
    RUN,
)
from mlflow_archive.reader.archive import Archive
from mlflow_archive.sinks.replay.objects.evaluation_datasets import IDENTITY as DATASET_IDENTITY
from mlflow_archive.sinks.replay.objects.evaluation_datasets import SOURCE_DATASET_ID
from mlflow_archive.sinks.replay.objects.issues import ISSUES
from mlflow_archive.sinks.replay.places.experiments import SOURCE_URI
from mlflow_archive.sinks.replay.writing.earlier_imports import (
    DELETED,
    MODEL_IDENTITY,
    RUN_IDENTITY,
    SOURCE_MODEL_ID,
)

_TAGGED: Final = (
    (RUN, "tags", "run_id", SOURCE_RUN_ID, RUN_IDENTITY),
    (LOGGED_MODEL, "logged_model_tags", "model_id", SOURCE_MODEL_ID, MODEL_IDENTITY),
    (EVALUATION_DATASET, "evaluation_dataset_tags", "dataset_id", SOURCE_DATASET_ID, DATASET_IDENTITY),
)
"""Kind, table of its tags, owner column, and the tags that name the source's id: the last one wins."""


class Identities:
    """Source id to target id by kind. A receipt wins over tags; ``tracking_uris`` are those of the archive."""

    def __init__(self, target: Archive, receipt: Document | None, tracking_uris: Iterable[str]) -> None:
        self._target = target
        self._ids: dict[str, dict[str, str]] = defaultdict(dict)
        self._copies: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._load_experiments(frozenset(tracking_uris))
        for kind, table, owner, *keys in _TAGGED:
            self._load_tagged(kind, table, owner, keys)
        for kind, ids in _of_receipt(receipt or {}):
            self._ids[kind].update({source: target_id for source, target_id in ids.items() if target_id is not None})

    def of(self, kind: str) -> Mapping[str, str]:
        """Return source id to target id of a kind."""
        return self._ids[kind]

    def copies(self, kind: str, source_id: str) -> Sequence[str]:
        """Return the ids of all objects of the target that say they are copies of a source object."""
        return self._copies[kind].get(source_id, ())

    def add(self, kind: str, source_id: str, target_id: str) -> None:
        """Take a pair that was found by what the objects are."""
        self._ids[kind].setdefault(source_id, target_id)

    def _load_tagged(self, kind: str, table: str, owner: str, keys: Sequence[str]) -> None:
        sources: dict[str, str] = {}
        for key in keys:
            for rows in self._target.keyed(table, "key", key, columns=[owner, "value"]):
                sources.update(zip(rows[owner].to_pylist(), rows["value"].to_pylist(), strict=True))
        for target_id, source_id in sorted(sources.items()):
            self._ids[kind].setdefault(source_id, target_id)
            self._copies[kind][source_id].append(target_id)

    def _load_experiments(self, tracking_uris: frozenset[str]) -> None:
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        for row in self._target.table("experiment_tags").to_pylist():
            tags[row["experiment_id"]][row["key"]] = row["value"]
        for target_id, values in sorted(tags.items()):
            source_id = values.get(SOURCE_EXPERIMENT_ID)
            if source_id is not None and values.get(SOURCE_URI) in tracking_uris:
                self._ids[EXPERIMENT].setdefault(source_id, target_id)
                self._copies[EXPERIMENT][source_id].append(target_id)
            for key, value in values.items():
                if key.startswith(DELETED):
                    self._ids[LOGGED_MODEL][key.removeprefix(DELETED)] = value
                elif key.startswith(ISSUES):
                    pairs = (pair.partition("=") for pair in value.split())
                    self._ids[ISSUE].update((source, target_id) for source, _, target_id in pairs)


def _of_receipt(receipt: Document) -> Iterator[tuple[str, Mapping[str, str | None]]]:
    yield EXPERIMENT, receipt.get("experiments", {})
    yield RUN, receipt.get("runs", {})
    for kind, ids in receipt.get("ids", {}).items():
        if kind in IDENTITIES:
            yield kind, ids
