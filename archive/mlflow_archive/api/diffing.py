"""The differences between two archives, servers, databases or folders, for Python; see ``mlflow-archive diff``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, overload

from mlflow_archive.api.announced import Announced
from mlflow_archive.api.as_archive import as_archive
from mlflow_archive.api.differences import Comparison, FieldChange, ObjectChange, differences, hidden_columns
from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.api.receipts import ReceiptPlace, read_receipts
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.format.notebook import pairs_html, rows_html
from mlflow_archive.reader.inspection.rows import dated
from mlflow_archive.selecting.selection import Selection

if TYPE_CHECKING:
    from mlflow_archive.api.proof.evidence import Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What differs. ``not_compared`` are the columns (``table.column``) of which one side shows no value.

    ``announced`` is what differs as the receipt of a restore said; it is no difference.
    """

    changes: Sequence[ObjectChange]
    not_compared: frozenset[str] = frozenset()
    announced: Sequence[ObjectChange] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.changes

    @property
    def counts(self) -> dict[str, int]:
        """How many objects were ``added``, ``removed`` and ``changed``."""
        return {name: sum(change.change == name for change in self.changes) for name in ("added", "removed", "changed")}

    def to_json(self) -> dict[str, Any]:
        """Return ``counts``, ``changes`` and ``not_compared``."""
        return {
            "counts": self.counts,
            "changes": [change.to_json() for change in self.changes],
            "not_compared": sorted(self.not_compared),
        }

    def _repr_html_(self) -> str:
        rows = [
            {"change": change.change, "kind": change.kind, "id": change.id, "fields": _places(change.fields)}
            for change in self.changes
        ]
        counts = {name: f"{number:,}" for name, number in self.counts.items()}
        return pairs_html(self._sentence, counts) + rows_html("changes", rows)

    @property
    def _sentence(self) -> str:
        return "nothing differs" if self.same else "differs"


def _places(fields: Sequence[FieldChange]) -> str:
    return ", ".join(dict.fromkeys(".".join(filter(None, (field.table, field.field))) for field in fields))


@overload
def diff(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str] | None = None,
    *,
    at: AskedAt | None = None,
    against: AskedAt | None = None,
    artifacts: bool = True,
    locations: bool = True,
    imported: Literal[False] = False,
    receipt: ReceiptPlace | None = None,
    jobs: int = 4,
    progress: Progress | OnProgress | None = None,
) -> Diff: ...


@overload
def diff(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    *,
    at: AskedAt | None = None,
    artifacts: bool = True,
    imported: Literal[True],
    receipt: ReceiptPlace | Sequence[ReceiptPlace] | None = None,
    jobs: int = 4,
    progress: Progress | OnProgress | None = None,
) -> Proof: ...


def diff(  # noqa: PLR0913 - one verb, as in the command
    before: str | os.PathLike[str],
    after: str | os.PathLike[str] | None = None,
    *,
    at: AskedAt | None = None,
    against: AskedAt | None = None,
    artifacts: bool = True,
    locations: bool = True,
    imported: bool = False,
    receipt: ReceiptPlace | Sequence[ReceiptPlace] | None = None,
    jobs: int = 4,
    progress: Progress | OnProgress | None = None,
) -> Diff:
    """List which objects were added, removed or changed, field by field; see ``mlflow-archive diff``.

    Each side is the path of an archive, or a tracking URI, which is exported into a temporary archive first. ``at``
    says after which export an archive ``before`` is read, ``against`` the same of ``after``; without ``after``, two
    states of one archive are compared. Without ``artifacts`` these are not compared, without ``locations`` not where
    they lie. With ``imported`` the archive ``before`` is compared with the target it was imported into: ids are mapped
    by the ``receipt``, else by source tags, and the result is a ``Proof``. Else the receipt is that of a restore of
    ``before`` into ``after``: what that announced is no difference. Raises ArchiveError, SelectionError, ServerError,
    StoreError; TargetError where a source has gaps.
    """
    listener, selection = as_progress(progress), Selection(artifacts=artifacts)
    if imported:
        from mlflow_archive.api.proof.proof import prove  # noqa: PLC0415 - the plans of an import bring MLflow's API

        target = other_side(before, after, at, against, imported=True)
        proof = prove(
            os.fspath(before), target, receipt=receipt, artifacts=artifacts, jobs=jobs, progress=listener, at=at
        )
        return replace(proof, changes=tuple(map(_dated, proof.changes)))
    counterpart = other_side(before, after, at, against)
    with (
        as_archive(os.fspath(before), selection=selection, jobs=jobs, progress=listener, at=at) as old,
        as_archive(counterpart, selection=selection, jobs=jobs, progress=listener, at=against) as new,
    ):
        hidden = hidden_columns(old, new)
        announced = Announced(read_receipts(receipt, old))
        comparison = Comparison(artifacts=artifacts, locations=locations, hidden=hidden, announced=announced)
        changes = [
            (_dated(part), expected)
            for change in differences(old, new, comparison)
            for part, expected in announced.split(change)
        ]
    return Diff(
        changes=tuple(change for change, expected in changes if not expected),
        announced=tuple(change for change, expected in changes if expected),
        not_compared=hidden,
    )


def other_side(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str] | None,
    at: AskedAt | None,
    against: AskedAt | None,
    *,
    imported: bool = False,
) -> str:
    """Return what ``before`` is compared with, another state of it where nothing is named. Raises SelectionError."""
    if imported and (after is None or against is not None):
        raise SelectionError("an import is compared with the server that it was made into: name that, as it is now")
    if after is not None:
        return os.fspath(after)
    if at is None and against is None:
        raise SelectionError("name two things to compare, or one archive and with --at after which of its exports")
    return os.fspath(before)


def _dated(change: ObjectChange) -> ObjectChange:
    """Return a change with times as ``datetime``."""
    fields = [
        replace(field, key=dated(field.key), before=dated(field.before), after=dated(field.after))
        for field in change.fields
    ]
    return replace(change, fields=fields)
