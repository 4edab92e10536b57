"""Obstore's memory store behind a count of the requests that are made of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from obstore.store import MemoryStore, ObjectStore

from mlflow_archive.format.location import RemotePlace
from mlflow_archive.storage.remote import connecting


@dataclass
class Request:
    """One request; ``turn`` is how many had to be answered, one after the other, before it was sent, and itself."""

    verb: str
    name: str
    turn: int


@dataclass
class CountedBucket:
    """A bucket, in memory unless another is given; ``before`` and ``after`` hear verb and key of each request.

    Both may raise. A request takes ``seconds`` at least: those sent together are then on their way together.
    ``waiting`` is what the PUT holds that is asked for; ``days`` how much older an object is than it says, by the end
    of its key.
    """

    seconds: float = 0
    objects: ObjectStore = field(default_factory=MemoryStore)
    requests: list[Request] = field(default_factory=list)
    before: Callable[[str, str], None] | None = None
    after: Callable[[str, str], None] | None = None
    waiting: bytes = b""
    days: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _answered: int = 0

    @contextmanager
    def _request(self, verb: str, key: str) -> Iterator[None]:
        if self.before is not None:
            self.before(verb, key)
        with self._lock:
            request = Request(verb, key, self._answered + 1)
            self.requests.append(request)
        time.sleep(self.seconds)
        yield
        with self._lock:
            self._answered = max(self._answered, request.turn)
        if self.after is not None:
            self.after(verb, key)

    def forget(self) -> None:
        """Count from nothing."""
        self.requests.clear()
        self._answered = 0

    @property
    def turns(self) -> int:
        """How many requests were made one after the other."""
        return max((request.turn for request in self.requests), default=0)

    def upload(self, folder: Path, below: str) -> None:
        """Put the files of a folder, or one file, into the bucket."""
        files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else [folder]
        for path in files:
            key = f"{below}/{path.relative_to(folder).as_posix()}" if folder.is_dir() else below
            self.objects.put(key, path.read_bytes())


class _Prefixed:
    """The objects of a bucket below a prefix, as a store of obstore has them."""

    def __init__(self, bucket: CountedBucket, prefix: str) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""

    def _call(self, verb: str, name: str, *values: Any, **options: Any) -> Any:
        key = self._prefix + name
        with self._bucket._request(verb, key):
            return getattr(self._bucket.objects, verb)(key, *values, **options)

    def get(self, name: str, **options: Any) -> Any:
        return self._call("get", name, **options)

    def head(self, name: str) -> Any:
        return self._call("head", name)

    def put(self, name: str, data: Any, **options: Any) -> Any:
        self._bucket.waiting = data if isinstance(data, bytes) else b""
        return self._call("put", name, data, **options)

    def copy(self, name: str, copied: str) -> None:
        self._call("copy", name, self._prefix + copied)

    def delete(self, names: list[str]) -> None:
        keys = [self._prefix + name for name in names]
        with self._bucket._request("delete", " ".join(keys)):
            self._bucket.objects.delete(keys)

    def list(self, prefix: str | None = None) -> list[list[dict[str, Any]]]:
        below = (self._prefix + (prefix or "")).rstrip("/")
        with self._bucket._request("list", below):
            entries = list(self._bucket.objects.list(below or None).collect())
        names = [entry["path"].removeprefix(self._prefix) for entry in entries]
        ages = [timedelta(days=self._bucket.days.get(name, 0)) for name in names]
        return [
            [
                {**entry, "path": name, "last_modified": entry["last_modified"] - age}
                for entry, name, age in zip(entries, names, ages, strict=True)
            ]
        ]


def lead_to(bucket: CountedBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every URI of this process lead to a bucket in memory."""

    def open_objects(_: RemotePlace, below: str) -> Any:
        return _Prefixed(bucket, below)

    monkeypatch.setattr(connecting, "open_objects", open_objects)
