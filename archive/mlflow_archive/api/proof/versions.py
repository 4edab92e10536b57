"""Which registered model and version of the target each of the archive became: by receipt, else by source tags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from mlflow_archive.format.source_tags import PREFIX
from mlflow_archive.kinds import named_owner
from mlflow_archive.reader.archive import Archive
from mlflow_archive.sinks.replay.registry.numbering import FILLER, placed
from mlflow_archive.sinks.replay.registry.registry_rows import DELETED_STAGE
from mlflow_archive.sinks.replay.writing.rows import Row
from mlflow_archive.sinks.replay.writing.version_numbers import (
    APPENDED,
    SOURCE_MODEL_VERSION,
    SOURCE_REGISTERED_MODEL,
    identity_of_row,
    identity_of_tags,
)

Place = tuple[str, str]
"""(workspace, name) of a registered model of the target"""

_FACTS: Final = ("workspace", "name", "version", "creation_time")
_OF_VERSIONS: Final = (*(f"{PREFIX}model_version.{name}" for name in _FACTS), SOURCE_MODEL_VERSION, APPENDED, FILLER)
_OF_MODELS: Final = (*(f"{PREFIX}registered_model.{name}" for name in _FACTS), SOURCE_REGISTERED_MODEL)


@dataclass(slots=True, kw_only=True)
class KnownVersions:
    """What became of the registered models of the archive, by the ids that these have there.

    ``numbers`` maps numbers of versions to those in the target; ``merged`` are models whose versions were appended to
    one that the target has otherwise, with the numbers there of all that say they are versions of the archive.
    ``not_set`` is what the receipt says that they did not get, None where there is no receipt.
    """

    numbers: dict[str, Mapping[int, int]] = field(default_factory=dict)
    merged: dict[str, frozenset[int]] = field(default_factory=dict)
    not_set: Mapping[str, Mapping[str, Any]] | None = None

    def number(self, owner_id: str, number: int) -> int:
        """Return the number of a version in the target.

        One that is not there has it with a minus in a merged model, where that number is another version's.
        """
        target_number = self.numbers.get(owner_id, {}).get(number)
        return target_number if target_number is not None else -number if owner_id in self.merged else number


class TargetRegistry:
    """The registry of the target, as far as it says where its objects come from."""

    def __init__(self, target: Archive) -> None:
        self._target = target

    def find(self, workspace: str, name: str, model: Row, versions: Mapping[str, int]) -> str:
        """Return the name in a workspace of the target of a model of the archive; ``name`` is what it should be.

        ``versions`` are its numbers by identity.
        """
        if self._is_of((workspace, name), model, versions):
            return name
        names = (target_name for place, target_name in sorted(self._places) if place == workspace)
        return next((other_name for other_name in names if self._is_of((workspace, other_name), model, versions)), name)

    def numbers(
        self, place: Place, versions: Mapping[str, int], *, merges: bool
    ) -> tuple[Mapping[int, int], frozenset[int] | None]:
        """Return the numbers of versions in the target, and of a merged model those of all that are copies."""
        tags_by_number = self._versions.get(place, {})
        copies = {number for number, tags in tags_by_number.items() if identity_of_tags(tags, version=True) in versions}
        appended = any(APPENDED in tags for tags in tags_by_number.values())
        return placed(tags_by_number, versions).numbers, frozenset(copies) if merges or appended else None

    def is_the_same(self, place: Place, model: Row) -> bool:
        """Return whether a model of the target says that it is the one of the archive."""
        tags = self._models.get(place, {})
        return identity_of_tags(tags, version=False) == identity_of_row(model)

    def _is_of(self, place: Place, model: Row, versions: Mapping[str, int]) -> bool:
        tags_of_versions = self._versions.get(place, {}).values()
        return self.is_the_same(place, model) or any(
            identity_of_tags(tags, version=True) in versions for tags in tags_of_versions
        )

    @cached_property
    def _places(self) -> set[Place]:
        rows = self._target.table("registered_models", columns=["workspace", "name"]).to_pylist()
        return {(row["workspace"], row["name"]) for row in rows}

    @cached_property
    def _models(self) -> Mapping[Place, Mapping[str, str]]:
        tags: dict[Place, dict[str, str]] = defaultdict(dict)
        for row, key in self._tagged("registered_model_tags", _OF_MODELS):
            tags[row["workspace"], row["name"]][key] = row["value"] or ""
        return tags

    @cached_property
    def _versions(self) -> Mapping[Place, Mapping[int, Mapping[str, str]]]:
        columns = ["workspace", "name", "version", "current_stage"]
        versions: dict[Place, dict[int, dict[str, str]]] = defaultdict(dict)
        for row in self._target.table("model_versions", columns=columns).to_pylist():
            if row["current_stage"] != DELETED_STAGE:
                versions[row["workspace"], row["name"]][row["version"]] = {}
        for row, key in self._tagged("model_version_tags", _OF_VERSIONS, "version"):
            tags = versions[row["workspace"], row["name"]].get(row["version"])
            if tags is not None:
                tags[key] = row["value"] or ""
        return versions

    def _tagged(self, table: str, keys: tuple[str, ...], *columns: str) -> Iterator[tuple[Row, str]]:
        all_columns = ["workspace", "name", *columns, "value"]
        for key in keys:
            for rows in self._target.keyed(table, "key", key, columns=all_columns):
                yield from ((row, key) for row in rows.to_pylist())


def identities_of(versions: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the numbers of versions of the archive by identity, by the id of their model."""
    identities: dict[str, dict[str, int]] = defaultdict(dict)
    for row in versions:
        owner_id = named_owner(row["name"], row["workspace"])
        identities[owner_id][identity_of_row(row, row["version"])] = row["version"]
    return identities
