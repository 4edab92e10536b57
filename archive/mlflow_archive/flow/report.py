"""What a copy did, and how it says so while it works."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mlflow_archive.flow.causes import causes
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.notebook import pairs_html, rows_html


@dataclass(slots=True, kw_only=True)
class Report:
    """What a copy did. ``counts`` are by table or unit; ``details`` is what the sink adds, JSON values only.

    A report with gaps is a partial success: exit code 3.
    """

    counts: dict[str, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing was left out: there are no gaps."""
        return not self.gaps

    def _repr_html_(self) -> str:
        gaps = [
            {"code": cause.first.code, "reason": cause.first.reason, "number": len(cause.gaps)}
            for cause in causes(self.gaps)
        ]
        counts = {name: f"{number:,}" for name, number in self.counts.items()}
        title = "report: complete" if self.complete else f"report: {len(self.gaps):,} gaps"
        return pairs_html(title, counts) + rows_html("gaps by cause", gaps)


class Progress(Protocol):
    """Hears what happens; called from several threads, must be quick and must not raise."""

    def expect(self, unit: str, amount: int) -> None:
        """Add to what will come in all: ``runs``, ``bytes``, ``members``."""

    def advance(self, unit: str, amount: int) -> None:
        """Add to what has been done. Units also seen: ``points``, ``artifacts``, ``skipped``."""

    def note(self, message: str) -> None:
        """Show a person something worth a line, such as a retry."""


class Quiet:
    """A Progress that reports to nobody."""

    def expect(self, unit: str, amount: int) -> None: ...

    def advance(self, unit: str, amount: int) -> None: ...

    def note(self, message: str) -> None: ...
