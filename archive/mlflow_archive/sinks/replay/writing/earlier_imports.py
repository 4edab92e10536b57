"""Which objects of the source are in the target already, as copies that an earlier import left there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock

from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.writing.receipt import Receipt


class Copies:
    """Source id to target id of one experiment; of two copies the first that is complete counts.

    ``what`` names the objects in the receipt, as "source run".
    """

    def __init__(self, what: str, receipt: Receipt, known: Mapping[str, str] | None = None) -> None:
        self._what = what
        self._receipt = receipt
        self._complete: set[str] = set()
        self.known = dict(known or {})

    def add(self, source_id: str | None, target_id: str, *, complete: bool) -> None:
        """Take an object of the target; one without a source id is nobody's copy."""
        if source_id is None or self.known.get(source_id) == target_id:
            return
        if source_id in self.known:
            self._receipt.note(
                f"{self._what} {source_id} is twice in the target: {self.known[source_id]} and {target_id}"
            )
        if source_id not in self.known or (source_id not in self._complete and complete):
            self.known[source_id] = target_id
        if complete:
            self._complete.add(source_id)


class CopiesByExperiment:
    """The copies in each experiment of the target, read once. Usable by several threads.

    ``load`` reads those of the experiment with an id of the target.
    """

    def __init__(self, load: Callable[[str], Copies]) -> None:
        self._load = load
        self._lock = Lock()
        self._loading: dict[str, Lock] = {}
        self._known: dict[str, Mapping[str, str]] = {}

    def lookup(self, bound: Bound, source_id: str) -> str | None:
        """Return the id of the target's copy of an object in an experiment, or None."""
        if bound.new or bound.target_id is None:
            return None
        with self._lock:
            loading = self._loading.setdefault(bound.target_id, Lock())
        with loading:
            if bound.target_id not in self._known:
                self._known[bound.target_id] = self._load(bound.target_id).known
        return self._known[bound.target_id].get(source_id)
