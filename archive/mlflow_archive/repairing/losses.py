"""What damage took from an archive, as gaps: one for each object, list of rows or artifact that is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.unknown_tables import database_table
from mlflow_archive.kinds import BY_ROW, EXPERIMENT, IDENTITIES, RUN, is_identity
from mlflow_archive.repairing.holdings import Holdings
from mlflow_archive.verification.tables import KeyRange

_OBJECTS: Final[Mapping[str, str]] = MappingProxyType(
    {RUN: gap_codes.RUN_UNREADABLE, EXPERIMENT: gap_codes.EXPERIMENT_UNREADABLE}
)
_ROWS: Final[Mapping[str, str]] = MappingProxyType(
    {"metrics": gap_codes.METRIC_UNREADABLE, "artifacts": gap_codes.ARTIFACT_LISTING}
)
_WITHOUT_CONTENT: Final = ("fingerprints", "blobs")


class Losses:
    """Collects gaps, each once, and says of whom there are any. ``archive`` is the id of the damaged archive."""

    def __init__(self, archive: str, holdings: Holdings) -> None:
        self._archive, self._holdings = archive, holdings
        self._gaps: dict[tuple[str, str, str, str], Gap] = {}

    def __iter__(self) -> Iterator[Gap]:
        return iter(self._gaps.values())

    @property
    def owners(self) -> frozenset[tuple[str, str]]:
        """Kind and id of all that have lost something."""
        return frozenset((gap.owner_kind, gap.owner_id) for gap in self)

    def _add(self, kind: str, owner: str, path: str, code: str, subject: str) -> None:
        reason = f"{subject} damaged in the archive {self._archive} that this one was salvaged from"
        gap = Gap(owner_kind=kind, owner_id=owner, path=path, code=code, reason=reason)
        self._gaps.setdefault((kind, owner, path, code), gap)

    def add_rows(self, hit: KeyRange) -> None:
        """Add what damaged rows of a table hit: the objects themselves, or rows of objects that are kept."""
        table = hit.table
        if table.name in _WITHOUT_CONTENT:
            return
        subject = f"rows of {table.name} by export {hit.export} are"
        if table.entity is not None and is_identity(table):
            code = _OBJECTS.get(table.entity, gap_codes.OBJECT_UNREADABLE)
            self._add(table.entity, hit.span, "", code, subject)
            return
        if table.name == "gaps":
            self.add_of_source(table.name, subject)
        code = _ROWS.get(table.name, gap_codes.FIELD_UNREADABLE)
        for kind, owner in self._owners_hit(hit):
            self._add(kind, owner, table.name, code, subject)

    def _owners_hit(self, hit: KeyRange) -> Iterator[tuple[str, str]]:
        """Yield kind and id of all whose rows may be among the damaged ones, where no later export holds them."""
        entity = hit.table.entity
        for kind in IDENTITIES if entity == BY_ROW else (entity or "",):
            for owner, key in self._holdings.entities(kind, hit.export).items():
                # Tables of owners of every kind are sorted by the id, all others by the first column of the key.
                inside = hit.low <= (owner if entity == BY_ROW else key) <= hit.high
                if inside and self._holdings.is_current(kind, owner, hit.export):
                    yield kind, owner

    def add_dropped(self) -> None:
        """Add the objects whose rows were not kept, as their own row, or that of their experiment, is lost."""
        for (kind, owner), export in self._holdings.dropped.items():
            if self._holdings.is_current(kind, owner, export):
                code = _OBJECTS.get(kind, gap_codes.OBJECT_UNREADABLE)
                subject = f"its row in {IDENTITIES[kind].name} by export {export}, or that of its experiment, is"
                self._add(kind, owner, "", code, subject)

    def add_artifact(self, kind: str, owner: str, path: str, digest: str) -> None:
        """Add an artifact whose blob does not come out."""
        self._add(kind, owner, path, gap_codes.ARTIFACT_UNREADABLE, f"its blob {digest} is")

    def add_member(self, member: Member) -> None:
        """Add a member that this version does not know, or that tells of an older export."""
        name = database_table(member)
        code = gap_codes.OBJECT_UNREADABLE if name is None else gap_codes.UNKNOWN_ROWS
        self.add_of_source(member.path if name is None else name, f"the member {member.path} is", code)

    def add_of_source(self, owner: str, subject: str, code: str = gap_codes.OBJECT_UNREADABLE) -> None:
        """Add something that belongs to no object."""
        self._add(gap_codes.SOURCE, owner, "", code, subject)
