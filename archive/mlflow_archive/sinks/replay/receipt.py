"""What a replay did, collected from several threads."""

from __future__ import annotations

from collections import Counter
from threading import Lock

from mlflow_archive.format.refusals import REFUSALS
from mlflow_archive.pipeline import Gap, Report


class Receipt:
    """Source id to target id, counts, and everything that did not arrive as it was."""

    def __init__(self, *, dry_run: bool) -> None:
        self._lock = Lock()
        self._dry_run = dry_run
        self.experiments: dict[str, str | None] = {}
        self.runs: dict[str, str | None] = {}
        self._done: Counter[str] = Counter(created=0, updated=0, skipped=0)
        self._counts: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()
        self._shortened: list[dict[str, object]] = []
        self._missing_parents: list[dict[str, str]] = []
        self._notes: list[str] = []
        self._gaps: list[Gap] = []

    def experiment(self, source_id: str, target_id: str | None) -> None:
        with self._lock:
            self.experiments[source_id] = target_id

    def run(self, source_id: str, target_id: str | None) -> None:
        """Note where a run is; None is one that a dry run would create."""
        with self._lock:
            self.runs[source_id] = target_id

    def done(self, what: str) -> None:
        """Count a run as ``created``, ``updated`` or ``skipped``."""
        with self._lock:
            self._done[what] += 1

    def count(self, unit: str, amount: int = 1) -> None:
        with self._lock:
            self._counts[unit] += amount

    def changed(self, kind: str, amount: int = 1) -> None:
        """Count something that arrived otherwise than it was."""
        if amount:
            with self._lock:
                self._changed[kind] += amount

    def shortened(self, owner_id: str, kind: str, key: str, length: int) -> None:
        """Note a text that was too long; ``length`` is what it had, in characters."""
        with self._lock:
            self._shortened.append({"owner": owner_id, "kind": kind, "key": key, "length": length})

    def missing_parent(self, run_id: str, parent_id: str) -> None:
        with self._lock:
            self._missing_parents.append({"run": run_id, "parent": parent_id})

    def note(self, sentence: str) -> None:
        with self._lock:
            self._notes.append(sentence)

    def refuse(self, kind: str, owner_id: str, path: str, code: str, reason: str) -> None:
        """Note something that did not arrive; ``code`` is one of ``format.refusals``."""
        if code not in REFUSALS:
            raise ValueError(code)
        with self._lock:
            self._gaps.append(Gap(owner_kind=kind, owner_id=owner_id, path=path, code=code, reason=reason))

    def report(self) -> Report:
        """Return all of it as the sink's report."""
        refusals = [
            {"kind": gap.owner_kind, "id": gap.owner_id, "path": gap.path, "code": gap.code, "reason": gap.reason}
            for gap in self._gaps
        ]
        counts = {**self._counts, "experiments": len(self.experiments), **self._done}
        counts["runs"] = self._done.total()
        details: dict[str, object] = {
            "dry_run": self._dry_run,
            "experiments": dict(self.experiments),
            "runs": dict(self.runs),
            **self._done,
            "shortened": self._shortened,
            "changed": dict(self._changed),
            "missing_parents": self._missing_parents,
            "notes": self._notes,
            "refusals": refusals,
        }
        return Report(counts=counts, gaps=self._gaps, details=details)
