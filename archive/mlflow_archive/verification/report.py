"""The levels of verification, each with its promise, and what a verification found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.delta import Elsewhere
from mlflow_archive.format.notebook import pairs_html, rows_html
from mlflow_archive.format.problems import Problem
from mlflow_archive.signing.report import SignatureReport

MAX_LISTED: Final = 10_000


class Level(StrEnum):
    """How much is read. Each level does all of the one before."""

    QUICK = "quick"
    STORED = "stored"
    FULL = "full"


PROMISES: Final = MappingProxyType(
    {
        Level.QUICK: "The manifest is sound and every member is there with its size; contents were not read.",
        Level.STORED: "Every byte of every member is what was committed; whether it decodes was not tried.",
        Level.FULL: (
            "Every byte is what was committed, every row and every artifact decodes, every artifact has its digest, "
            "and all references between them hold."
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Lost:
    """What damage hits: a run or experiment, and of a run one artifact path (empty: rows of the run)."""

    kind: str
    id: str
    path: str = ""

    def to_json(self) -> dict[str, str]:
        return {"kind": self.kind, "id": self.id, "path": self.path}


@dataclass(slots=True, kw_only=True)
class Found:
    """What the check of some piece found: problems in order, and how much was checked. Plain data, for one thread."""

    problems: list[Problem] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, member: str, message: str) -> None:
        """Add a problem; of very many the first are kept."""
        self.extend([Problem(code=code, member=member, message=message)])

    def add_error(self, error: DamagedError, member: str = "") -> None:
        """Add what an exception says."""
        self.add(error.code, error.member or member, str(error).removeprefix(f"{error.code}: "))

    def extend(self, problems: list[Problem]) -> None:
        """Add problems; of very many the first are kept."""
        self.problems += problems[: max(0, MAX_LISTED - len(self.problems))]

    def count(self, unit: str, amount: int) -> None:
        """Add to what was checked: ``members``, ``bytes``, ``rows``, ``blobs``."""
        self.checked[unit] = self.checked.get(unit, 0) + amount

    def take(self, found: Found, problems: slice = slice(None)) -> None:
        """Add what the check of a piece found."""
        self.extend(found.problems[problems])
        for unit, amount in found.checked.items():
            self.count(unit, amount)


@dataclass(slots=True, kw_only=True)
class VerifyReport(Found):
    """Problems in the order of what was checked, whoever checked it, and what they hit.

    ``signatures`` is what was found of the signatures beside the archive, None where they were not asked about;
    ``elsewhere`` what of a delta was not looked at, None of a whole archive.
    """

    level: Level
    archive_id: str
    lost: set[Lost] = field(default_factory=set)
    signatures: SignatureReport | None = None
    elsewhere: Elsewhere | None = None

    @property
    def promise(self) -> str:
        """What the level promises where it finds nothing, as a sentence."""
        return PROMISES[self.level]

    @property
    def sound(self) -> bool:
        """True where the archive is what was committed, whoever signed it; warnings may be there."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def ok(self) -> bool:
        """True where the archive is sound, and its signatures are accepted where they were asked about."""
        return self.sound and (self.signatures is None or self.signatures.ok)

    def to_json(self) -> dict[str, Any]:
        return {
            "archive_id": self.archive_id,
            "level": self.level.value,
            "promise": self.promise,
            "ok": self.ok,
            "checked": dict(self.checked),
            "problems": [problem.to_json() for problem in self.problems],
            "lost": [loss.to_json() for loss in sorted(self.lost)[:MAX_LISTED]],
            **({} if self.elsewhere is None else {"elsewhere": self.elsewhere.to_json()}),
            **({} if self.signatures is None else {"signatures": self.signatures.to_json()}),
        }

    def _repr_html_(self) -> str:
        title = f"{self.level.value}: {'sound' if self.ok else 'DAMAGED'}"
        checked = {unit: f"{number:,}" for unit, number in self.checked.items()}
        lost = [loss.to_json() for loss in sorted(self.lost)]
        return (
            pairs_html(title, {"archive id": self.archive_id, **checked})
            + rows_html("problems", [problem.to_json() for problem in self.problems])
            + rows_html("lost", lost)
        )
