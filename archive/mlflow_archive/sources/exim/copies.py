"""One of each: the same object lies in several places of an export, as with a model and with its experiment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from mlflow_archive.sources.exim.documents import Document, read_document


class Located(Protocol):
    """An entry of the index that a document describes."""

    @property
    def path(self) -> Path | None: ...


Entry = TypeVar("Entry", bound=Located)

_NO_CONTENT: Final = ("runs", "traces", "logged_models", "permissions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Generic[Entry]):
    """One document of an object."""

    entry: Entry
    place: str
    export_time: int

    @property
    def rank(self) -> tuple[int, str]:
        """The newest comes first; of one export that which lies with its experiment."""
        return -self.export_time, self.place


@dataclass(slots=True)
class Copies(Generic[Entry]):
    """All documents of one kind, by the object's id."""

    found: dict[str, list[Copy[Entry]]] = field(default_factory=dict)

    def add(self, object_id: str, entry: Entry, document: Document) -> None:
        """Add a document."""
        copy = Copy(entry=entry, place=document.place, export_time=document.export_time)
        self.found.setdefault(object_id, []).append(copy)

    def chosen(self) -> Iterator[tuple[str, Sequence[Copy[Entry]]]]:
        """Yield (id, copies) by id; the first copy is the one that counts."""
        for object_id in sorted(self.found):
            yield object_id, sorted(self.found[object_id], key=lambda copy: copy.rank)


def differing(copies: Sequence[Copy[Any]], root: Path) -> Iterator[str]:
    """Yield a sentence for each copy that says something else than the first. Raises DocumentUnreadableError."""
    if len(copies) == 1:
        return
    first, *others = copies
    kept = content_digest(read_document(first.entry.path, root))
    for copy in others:
        if content_digest(read_document(copy.entry.path, root)) != kept:
            older = "is older and describes" if copy.export_time < first.export_time else "describes"
            yield f"{copy.place} {older} it differently; what {first.place} says is kept"


def content_digest(document: Document) -> bytes:
    """Return a digest that is equal for documents that say the same of their object."""
    content = {name: value for name, value in document.body.items() if name not in _NO_CONTENT}
    return digest_of(content)


def digest_of(value: Mapping[str, Any]) -> bytes:
    """Return the digest of a JSON value without what the tool adds for people, as not each of its versions does."""
    text = json.dumps(_plain(value), sort_keys=True, default=repr, ensure_ascii=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items() if not str(name).startswith("_")}
    return [_plain(each) for each in value] if isinstance(value, list) else value
