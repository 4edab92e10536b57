"""Which versions of registered models and prompts a selection takes: by number, by stage, the newest."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import REGISTERED_MODEL, named_owner
from mlflow_archive.kinds.version_source import TOMBSTONE

STAGES: Final = ("None", "Staging", "Production", "Archived")
"""MLflow's stages; a version that states none is in ``None``."""
TABLES_OF_VERSIONS: Final = ("model_versions", "model_version_tags")
_NUMBERS: Final = re.compile(r"\s*[0-9]{1,10}\s*(?:,\s*[0-9]{1,10}\s*)*")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")

Numbers = Mapping[str | None, frozenset[int]]
"""Numbers of versions by the name of their model; those below None are meant of each model."""


def parse_versions(texts: Iterable[str]) -> Numbers:
    """Return what ``3,5`` and ``NAME=3,5`` mean. Raises SelectionError.

    >>> dict(parse_versions(["3", "churn=1, 2"])) == {None: {3}, "churn": {1, 2}}
    True
    """
    numbers: dict[str | None, frozenset[int]] = {}
    for text in texts:
        name, equals, listed = text.rpartition("=")
        if not _NUMBERS.fullmatch(listed) or (equals and not name):
            raise SelectionError(f"{text!r} names no versions; expected numbers as 3,5 or NAME=3,5")
        key = name if equals else None
        numbers[key] = numbers.get(key, frozenset()) | {int(number) for number in listed.split(",")}
    return numbers


def parse_stages(names: Iterable[str]) -> frozenset[str]:
    """Return stages as MLflow spells them; it takes them in any case. Raises SelectionError."""
    by_lower_case = {stage.lower(): stage for stage in STAGES}
    if unknown := [name for name in names if name.lower() not in by_lower_case]:
        raise SelectionError(f"no stage is called {', '.join(map(repr, unknown))}; there are {', '.join(STAGES)}")
    return frozenset(by_lower_case[name.lower()] for name in names)


class ChosenVersions:
    """The versions that come, by the ``owner_id`` of their model; of a model that is not named all come."""

    def __init__(self, by_model: Mapping[str, Collection[int]] = MappingProxyType({})) -> None:
        self._by_model = dict(by_model)

    def takes(self, owner_id: str, version: int | None) -> bool:
        """Return whether a version comes; one without a number comes only where all do."""
        numbers = self._by_model.get(owner_id)
        return numbers is None or version in numbers

    def takes_file(self, owner_id: str, path: str) -> bool:
        """Return whether a file of a registered model comes, which lies below the number of its version."""
        number = path.partition("/")[0]
        return self.takes(owner_id, int(number) if _NUMBER.fullmatch(number) else None)

    def keep(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Return tables without the rows of versions that do not come."""
        return {name: self._kept(rows) if name in TABLES_OF_VERSIONS else rows for name, rows in tables.items()}

    def _kept(self, rows: pa.Table) -> pa.Table:
        if not self._by_model:
            return rows
        names = zip(*(rows[column].to_pylist() for column in ("name", "workspace", "version")), strict=True)
        taken = [self.takes(named_owner(name, workspace), version) for name, workspace, version in names]
        return rows.filter(pa.array(taken, pa.bool_()))

    def keep_files(self, artifacts: pa.Table) -> pa.Table:
        """Return rows of ``artifacts`` without the files of versions that do not come."""
        if not self._by_model:
            return artifacts
        places = zip(*(artifacts[column].to_pylist() for column in ("owner_kind", "owner_id", "path")), strict=True)
        taken = [kind != REGISTERED_MODEL or self.takes_file(owner, path) for kind, owner, path in places]
        return artifacts.filter(pa.array(taken, pa.bool_()))


class VersionChoice:
    """What a selection says of versions: their numbers, their stages, and how many of the newest."""

    def __init__(self, versions: Iterable[str], stages: Iterable[str], latest: int | None) -> None:
        self._numbers, self._stages, self._latest = parse_versions(versions), parse_stages(stages), latest

    def of(self, rows: Sequence[Mapping[str, Any]], prompts: Collection[str] = ()) -> ChosenVersions:
        """Return those that come of some versions, each with the columns of ``model_versions`` that a catalog gives.

        The newest are those of the highest numbers among what numbers and stages take. Deleted versions do not come.
        ``prompts`` are names of models that are prompts, which have no stages: none of their versions is left out by
        that.
        """
        taken: dict[str, list[int]] = {}
        for row in rows:
            stages = frozenset[str]() if row["name"] in prompts else self._stages
            if stages or self._limits(row["name"]):
                numbers = taken.setdefault(named_owner(row["name"], row["workspace"]), [])
                numbers += [row["version"]] if self._takes(row, stages) else []
        if self._latest is not None:
            taken = {owner: sorted(numbers)[-self._latest :] for owner, numbers in taken.items()}
        return ChosenVersions({owner: frozenset(numbers) for owner, numbers in taken.items()})

    def named(self) -> list[str]:
        """Return the versions that are named, as ``NAME/3``, or ``3`` where that of each model is meant."""
        pairs = [(name, number) for name, numbers in self._numbers.items() for number in sorted(numbers)]
        return [f"{number}" if name is None else f"{name}/{number}" for name, number in pairs]

    def missing(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return those that none of some versions is; a deleted one is none."""
        present = {(row["name"], row["version"]) for row in rows if row["current_stage"] != TOMBSTONE}
        known = {f"{name}/{number}" for name, number in present} | {f"{number}" for _, number in present}
        return [text for text in self.named() if text not in known]

    @property
    def by_stage(self) -> bool:
        """Whether stages are named."""
        return bool(self._stages)

    def _limits(self, name: str) -> bool:
        """Return whether anything but a stage is said of the versions of a model."""
        return bool(self._latest is not None or None in self._numbers or name in self._numbers)

    def _takes(self, row: Mapping[str, Any], stages: frozenset[str]) -> bool:
        if row["version"] is None or row["current_stage"] == TOMBSTONE:
            return False
        by_name = self._numbers.get(row["name"], self._numbers.get(None))
        if by_name is not None and row["version"] not in by_name:
            return False
        return not stages or (row["current_stage"] or STAGES[0]) in stages
