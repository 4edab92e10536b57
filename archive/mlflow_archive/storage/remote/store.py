"""Requests to a store, one a call, and what their refusals mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from mlflow_archive.errors import RemotePlaceError
from mlflow_archive.format.location import RemotePlace

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, UpdateVersion
    from obstore.store import ObjectStore
    from typing_extensions import Buffer

_USER: Final = re.compile(r"(?<=://)[^\s/@]*@")
_QUERY: Final = re.compile(r"\?[^\s,)\"']*")
_MARKUP: Final = re.compile(r"<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>")
_DEBUG: Final = "Debug source:"
_LONGEST: Final = 300
_BLOCK: Final = 4 * 1024 * 1024
_LEAST_PART: Final = 8 * 1024 * 1024
_MOST_PARTS: Final = 9_000  # S3 takes 10,000
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
_EMPTY: Final = ("416", "Range Not Satisfiable", "StartTooLarge")
"""How stores refuse a range that begins behind the end of an object, as any does of an empty one."""


class NoObjectError(RemotePlaceError):
    """There is no object of that name."""


class OtherObjectError(RemotePlaceError):
    """The object is another than the one that was meant, or there is one already."""


class RangeError(RemotePlaceError):
    """A range begins behind the end of an object."""


@dataclass(frozen=True, slots=True)
class ObjectRange:
    """Bytes of an object; ``size`` and ``tag`` (its ETag, where the store has one) are of the whole object.

    ``version`` is what a store names this state of the object by, for a PUT in place of it.
    """

    data: bytes
    size: int
    tag: str | None
    version: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ObjectStream:
    """A range of an object, in blocks as they come; ``size`` and ``tag`` are of the whole object."""

    blocks: Iterator[Buffer]
    size: int
    tag: str | None


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """An object in a listing: its size in bytes, and when it was written by the clock of the store."""

    name: str
    size: int
    modified: datetime


class RemoteStore:
    """The objects below a place, by names relative to it. Each method is one request; safe for several threads.

    Raises RemotePlaceError, NoObjectError and OtherObjectError.
    """

    def __init__(self, place: RemotePlace, objects: ObjectStore) -> None:
        self.place = place
        self._objects = objects

    def get(self, name: str, position: int, size: int, *, tag: str | None = None) -> ObjectRange:
        """Return up to ``size`` bytes of an object; with a ``tag`` only if the object has that."""
        with _explained(self.place, name):
            answer = self._objects.get(name, options=_range(position, size, tag))
            meta = answer.meta
            states = (("e_tag", meta["e_tag"]), ("version", meta["version"]))
            version = {name: state for name, state in states if state is not None}
            return ObjectRange(bytes(answer.bytes()), meta["size"], meta["e_tag"], version)

    def stream(self, name: str, position: int, size: int, *, tag: str | None = None) -> ObjectStream:
        """Begin to read a range of an object that may be larger than memory; the blocks raise as this does."""
        with _explained(self.place, name):
            answer = self._objects.get(name, options=_range(position, size, tag))
            return ObjectStream(self._blocks(name, answer), answer.meta["size"], answer.meta["e_tag"])

    def _blocks(self, name: str, answer: GetResult) -> Iterator[Buffer]:
        with _explained(self.place, name):
            yield from answer.stream(min_chunk_size=_BLOCK)

    def size(self, name: str) -> int:
        """Return how many bytes an object has."""
        with _explained(self.place, name):
            return self._objects.head(name)["size"]

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the objects below a name with their sizes; a request for each thousand."""
        return {entry.name: entry.size for entry in self.entries(below)}

    def entries(self, below: str = "") -> list[ObjectEntry]:
        """Return the objects below a name, in order; a request for each thousand."""
        with _explained(self.place, below):
            objects = [entry for page in self._objects.list(below or None) for entry in page]
        entries = [ObjectEntry(entry["path"], entry["size"], entry["last_modified"]) for entry in objects]
        return sorted(entries, key=lambda entry: entry.name)

    def put(self, name: str, data: bytes | Path) -> None:
        """Write an object, whole or not at all, in place of one that is there; a file in parts where it is large."""
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        with _explained(self.place, name):
            self._objects.put(name, data, chunk_size=max(_LEAST_PART, size // _MOST_PARTS + 1))

    def put_new(self, name: str, data: bytes) -> None:
        """Write an object that must not be there. Raises OtherObjectError where it is."""
        with _explained(self.place, name):
            self._objects.put(name, data, mode="create")

    def put_instead(self, name: str, data: bytes, before: ObjectRange | None) -> None:
        """Write an object in place of one that was read, None for none. Raises OtherObjectError if it has changed."""
        if before is None:
            self.put_new(name, data)
            return
        if not before.version:  # a store that names no states has nobody to compare them
            self.put(name, data)
            return
        with _explained(self.place, name):
            self._objects.put(name, data, mode=cast("UpdateVersion", dict(before.version)))

    def copy(self, name: str, copied: str) -> None:
        """Write an object again under another name, by the store itself, in place of one that is there."""
        with _explained(self.place, name):
            self._objects.copy(name, copied)

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; it is no error if one is gone."""
        if names:
            with _explained(self.place, names[0]):
                self._objects.delete(list(names))


def _range(position: int, size: int, tag: str | None) -> GetOptions:
    options: GetOptions = {"range": (position, position + size)}
    if tag is not None:
        options["if_match"] = tag
    return options


@contextmanager
def _explained(place: RemotePlace, name: str) -> Iterator[None]:
    from obstore import exceptions  # noqa: PLC0415 - brought by an extra

    where = f"{place}/{name}" if name else str(place)
    try:
        yield
    except FileNotFoundError as error:
        if any(code in str(error) for code in _NO_BUCKET):
            raise RemotePlaceError(f"{place}: there is no such bucket: {told(error)}") from error
        raise NoObjectError(f"{where} is not there: {told(error)}") from error
    except (exceptions.PreconditionError, exceptions.AlreadyExistsError) as error:
        raise OtherObjectError(f"{where} was changed by somebody else meanwhile") from error
    except exceptions.NotSupportedError as error:
        raise RemotePlaceError(
            f"{where}: the server does not give out ranges of a file ({told(error)}); download it first"
        ) from error
    except (exceptions.BaseError, OSError, ValueError) as error:
        if any(sign in str(error) for sign in _EMPTY):
            raise RangeError(f"{where} is shorter than it was: {told(error)}") from error
        raise RemotePlaceError(f"{where} cannot be reached, or is refused: {told(error)}") from error


def told(error: BaseException) -> str:
    """Return what a store says, in one line, without queries and users of URLs: these may be credentials."""
    text = str(error).partition(_DEBUG)[0]
    markup = _MARKUP.search(text)
    text = f"{text.partition('<')[0]} {': '.join(markup.groups()) if markup else ''}"
    text = " ".join(_QUERY.sub("", _USER.sub("", text)).split()).rstrip(" :")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
