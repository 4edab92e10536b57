"""The documents of one object: an export may have several, such as one with a model and one with its experiment."""

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
class DocumentCopy(Generic[Entry]):
    """One document of an object."""

    entry: Entry
    place: str
    export_time: int

    @property
    def rank(self) -> tuple[int, str]:
        """The newest comes first; of those of one export, the one that lies with its experiment."""
        return -self.export_time, self.place


@dataclass(slots=True)
class DocumentCopies(Generic[Entry]):
    """All documents of one kind, by the object's id."""

    by_id: dict[str, list[DocumentCopy[Entry]]] = field(default_factory=dict)

    def add(self, object_id: str, entry: Entry, document: Document) -> None:
        """Add a document."""
        copy = DocumentCopy(entry=entry, place=document.place, export_time=document.export_time)
        self.by_id.setdefault(object_id, []).append(copy)

    def ranked(self) -> Iterator[tuple[str, Sequence[DocumentCopy[Entry]]]]:
        """Yield (id, copies) by id; the first copy is the one that counts."""
        for object_id in sorted(self.by_id):
            yield object_id, sorted(self.by_id[object_id], key=lambda copy: copy.rank)


def differing(copies: Sequence[DocumentCopy[Any]], root: Path) -> Iterator[str]:
    """Yield a sentence for each copy that differs from the first. Raises DocumentUnreadableError."""
    if len(copies) == 1:
        return
    first, *later = copies
    digest = content_digest(read_document(first.entry.path, root))
    for copy in later:
        if content_digest(read_document(copy.entry.path, root)) != digest:
            older = "is older and describes" if copy.export_time < first.export_time else "describes"
            yield f"{copy.place} {older} it differently; what {first.place} says is kept"


def content_digest(document: Document) -> bytes:
    """Return a digest that is equal for documents that describe their object in the same way."""
    content = {name: value for name, value in document.body.items() if name not in _NO_CONTENT}
    return digest_of(content)


def digest_of(value: Mapping[str, Any]) -> bytes:
    """Return the digest of a JSON value without what the tool adds for people, which only some of its versions do."""
    text = json.dumps(_plain(value), sort_keys=True, default=repr, ensure_ascii=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items() if not str(name).startswith("_")}
    return [_plain(item) for item in value] if isinstance(value, list) else value
