"""Objects without a name or tag of their own: of those that are equal, each in the target stands for one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from threading import Lock

from mlflow_archive.sinks.replay.writing.failures import once


class Equals:
    """Objects of the target by what they are, read when first asked; each is given out once.

    ``load`` gives pairs of what an object is and its id, in a fixed order. Usable by several threads.
    """

    def __init__(self, load: Callable[[], Iterable[tuple[Hashable, str]]]) -> None:
        self._load = load
        self._lock = Lock()
        self._there: dict[Hashable, list[str]] | None = None
        self._ids: set[str] = set()
        self._taken: set[str] = set()

    def take(self, key: Hashable) -> str | None:
        """Return the id of an equal object that nobody has taken yet, None where there is none."""
        with self._lock:
            found = next((one for one in self._held().get(key, []) if one not in self._taken), None)
            if found is not None:
                self._taken.add(found)
            return found

    def reserve(self, ids: Iterable[str]) -> None:
        """Give out these to nobody who asks for what they are."""
        with self._lock:
            self._taken.update(ids)

    def has(self, target_id: str) -> bool:
        """Say whether an object with this id is there."""
        with self._lock:
            self._held()
            return target_id in self._ids

    def _held(self) -> dict[Hashable, list[str]]:
        if self._there is None:
            there: dict[Hashable, list[str]] = {}
            for held, target_id in self._load():
                there.setdefault(held, []).append(target_id)
            self._there = there
            self._ids = {target_id for ids in there.values() for target_id in ids}
        return self._there

    def take_or_create(self, key: Hashable, create: Callable[[], str] | None) -> tuple[str | None, str]:
        """Return the id of an equal object, or of a new one, and whether it was ``skipped`` or ``created``.

        Without ``create``, as in a dry run, there is no id of a new one.
        """
        found = self.take(key)
        if found is not None:
            return found, "skipped"
        return (None if create is None else self.create(key, create)), "created"

    def create(self, key: Hashable, create: Callable[[], str]) -> str:
        """Create one, or where nobody knows whether that was carried out, look first; return its id."""

        def look() -> str | None:
            with self._lock:
                self._there = None
            return self.take(key)

        made = once(create, look)
        with self._lock:
            self._taken.add(made)
        return made
