"""Objects that have neither a name nor a tag to be found by: each equal object of the target stands for one."""

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
        self._creating = Lock()
        self._ids_by_key: dict[Hashable, list[str]] | None = None
        self._ids: set[str] = set()
        self._given_out: set[str] = set()

    def take(self, key: Hashable) -> str | None:
        """Return the id of an equal object that was not given out yet, None where there is none."""
        with self._lock:
            free = (target_id for target_id in self._loaded().get(key, []) if target_id not in self._given_out)
            target_id = next(free, None)
            if target_id is not None:
                self._given_out.add(target_id)
            return target_id

    def reserve(self, ids: Iterable[str]) -> None:
        """Never give out objects with these ids."""
        with self._lock:
            self._given_out.update(ids)

    def has(self, target_id: str) -> bool:
        """Return whether the target has an object with this id."""
        with self._lock:
            self._loaded()
            return target_id in self._ids

    def _loaded(self) -> dict[Hashable, list[str]]:
        if self._ids_by_key is None:
            ids_by_key: dict[Hashable, list[str]] = {}
            for key, target_id in self._load():
                ids_by_key.setdefault(key, []).append(target_id)
            self._ids_by_key = ids_by_key
            self._ids = {target_id for ids in ids_by_key.values() for target_id in ids}
        return self._ids_by_key

    def take_or_create(self, key: Hashable, create: Callable[[], str] | None) -> tuple[str | None, bool]:
        """Return the id of an equal object, or of a new one, and whether it is new.

        Without ``create``, as in a dry run, the id of a new one is None.
        """
        target_id = self.take(key)
        if target_id is not None:
            return target_id, False
        return (None if create is None else self._create(key, create)), True

    def _create(self, key: Hashable, create: Callable[[], str]) -> str:
        """Create one and return its id; where it is unknown whether that was carried out, look for it first.

        One at a time, as it is by their number that equal ones are told apart then.
        """

        def look() -> str | None:
            with self._lock:
                self._ids_by_key = None
            return self.take(key)

        with self._creating:
            target_id = once(create, look)
            with self._lock:
                self._given_out.add(target_id)
        return target_id
