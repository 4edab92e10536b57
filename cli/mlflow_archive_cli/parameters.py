"""Values that options take, read and refused in one place: functions from text to value, for ``click``."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.earlier import At, parse_at
from mlflow_archive.format.location import ArchivePlace, archive_place, local_path
from mlflow_archive.reader.search import Condition, Field

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kKMGT]i?)?B)?", re.ASCII)
_UNITS: Final = {
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "ki": 2**10,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONDITION = re.compile(r"(.+?)\s*(<=|>=|!=|==|<|>|=)\s*([^<>=!]+)")


def _path(text: str) -> Path:
    try:
        return local_path(text)
    except SelectionError as error:
        raise click.BadParameter(str(error)) from None


if TYPE_CHECKING:
    _PathType = click.ParamType[Path]
    _PlaceType = click.ParamType[ArchivePlace]
    _WordType = click.ParamType[str]
else:
    _PathType = _PlaceType = _WordType = click.ParamType  # takes no type before click 8.4


class Words(_WordType):
    """One of some words, each of which may have others that mean it; of a misspelt one the nearest are named."""

    name = "word"

    def __init__(self, meanings: Mapping[str, str]) -> None:
        self._meanings = meanings

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = value.lower().replace("_", "-")
        if text in self._meanings:
            return self._meanings[text]
        near = list(dict.fromkeys(self._meanings[word] for word in get_close_matches(text, self._meanings, 5)))
        words = dict.fromkeys(self._meanings.values())
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(words)}"
        raise click.BadParameter(f"{value!r} is no word for what an archive holds; {hint}", ctx, param)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = dict.fromkeys(self._meanings.values())
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


class _LocalPath(_PathType):
    """A path of this machine; whether there is something, the library says."""

    name = "path"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return _path(os.fspath(value))


class _Place(_PlaceType):
    """A path of this machine, or the URI of an archive in a bucket or on a web server."""

    name = "path"

    def convert(
        self, value: str | ArchivePlace, param: click.Parameter | None, ctx: click.Context | None
    ) -> ArchivePlace:
        try:
            return archive_place(value)
        except SelectionError as error:
            raise click.BadParameter(str(error)) from None


LOCAL_PATH: Final = _LocalPath()
ARCHIVE: Final = _Place()
"""An archive that is read, wherever it lies."""


def time_ms(text: str) -> int:
    """Read ISO 8601 as milliseconds since the epoch; without an offset it is UTC.

    A part of a millisecond counts as a whole one: what begins in the millisecond before is earlier than that time.
    """
    try:
        when = datetime.fromisoformat(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return -((_EPOCH - when) // timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        message = f"{text!r} is no ISO 8601 time such as 2024-05-01 or 2024-05-01T12:30:00Z"
        raise click.BadParameter(message) from None


def export_or_time(text: str) -> At:
    """Read after which export an archive is meant: its number, or a time in ISO 8601."""
    try:
        return parse_at(text)
    except SelectionError as error:
        raise click.BadParameter(str(error)) from None


def size_bytes(text: str) -> int:
    """Read a number of bytes, with a unit or without: ``500``, ``10MB``, ``1.5GiB``."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no size such as 500, 10MB (10^6 bytes each) or 1GiB (2^30)")
    return math.floor(Fraction(match[1]) * _UNITS.get(match[2] or "", 1))


def pair_of(form: str, *, empty_value: bool = False) -> Callable[[str], tuple[str, str]]:
    """Return a function that reads two texts around the first ``=``; ``form`` is shown where they are not."""

    def pair(text: str) -> tuple[str, str]:
        key, equals, right = text.partition("=")
        if not key or not equals or not (right or empty_value):
            raise click.BadParameter(f"{text!r} is not of the form {form}")
        return key, right

    return pair


def metric_condition(text: str) -> Condition:
    """Read a bound on a metric, such as ``loss<0.1``."""
    match = _CONDITION.fullmatch(text)
    message = f"{text!r} is no condition such as 'loss<0.1' or 'accuracy>=0.9'"
    if match is None:
        raise click.BadParameter(message)
    try:
        operator = {"==": "="}.get(match[2], match[2])
        return Condition(field=Field(group="metrics", name=match[1]), operator=operator, value=float(match[3]))
    except ValueError:
        raise click.BadParameter(message) from None


def equals(group: str) -> Callable[[str], Condition]:
    """Return a function that reads ``KEY=VALUE`` as a condition on a group, such as ``params``."""
    read = pair_of("KEY=VALUE", empty_value=True)

    def condition(text: str) -> Condition:
        key, value = read(text)
        return Condition(field=Field(group=group, name=key), operator="=", value=value)

    return condition


def output_file(text: str) -> Path:
    """Read a file to write in the end; checked at once, as nobody wants to hear after hours that it cannot be."""
    path = _path(text)
    if text != "-" and (not path.parent.is_dir() or path.is_dir()):
        raise click.BadParameter(
            f"{text!r} cannot be written: there is no folder {path.parent}, or it is a folder itself"
        )
    return path
