"""Names in the target: what a caller renames, one by one or by how names begin, and which of them would meet.

One mechanism for experiments, registered models with prompts, and evaluation datasets. Pure but for ``read_renames``.
"""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from mlflow_archive.errors import SelectionError

Renames = Mapping[str, str]
"""Source name to target name. One that ends with ``*`` stands for all names that begin so."""
Renaming = Renames | str | os.PathLike[str]
"""Renames, or the file that holds them."""

_ANY: Final = "*"


def renamed(name: str, renames: Renames) -> str:
    """Return what a name becomes: by itself, else by the longest beginning that is renamed.

    >>> renamed("/Users/ada/churn", {"/Users/ada/*": "/Teams/a/*"}), renamed("churn", {"*": "all"})
    ('/Teams/a/churn', 'all')
    """
    key = _key(name, renames)
    if key is None:
        return name
    target = renames[key]
    if key == name or not target.endswith(_ANY):
        return target
    return target.removesuffix(_ANY) + name.removeprefix(key.removesuffix(_ANY))


def _key(name: str, renames: Renames) -> str | None:
    if name in renames:
        return name
    beginnings = (key for key in renames if key.endswith(_ANY) and name.startswith(key.removesuffix(_ANY)))
    return max(beginnings, key=len, default=None)


def _is_outright(name: str, renames: Renames) -> bool:
    """Return whether a caller has said, word for word, what a name becomes."""
    key = _key(name, renames)
    return key is not None and (key == name or not renames[key].endswith(_ANY))


def check_renames(noun: str, names: Iterable[str], renames: Renames, *, joinable: bool = False) -> None:
    """Raise SelectionError where names of one workspace would meet in the target.

    ``joinable`` objects may become one where the caller gives each of them that name, word for word.
    """
    by_target: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        by_target[renamed(name, renames)].append(name)
    for target, meeting in by_target.items():
        if len(meeting) > 1 and not (joinable and all(_is_outright(name, renames) for name in meeting)):
            raise SelectionError(_of_meeting(noun, target, meeting, joinable=joinable))


def in_workspace(renames: Renames, workspace: str) -> Renames:
    """Return renames of which those of ``workspace/name`` are of the name alone, in that workspace."""
    qualifier = f"{workspace}/"
    own = {key.removeprefix(qualifier): new for key, new in renames.items() if key.startswith(qualifier)}
    return {**renames, **own}


def not_there(renames: Renames, names: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names to rename, beginnings aside, that are none of ``names``, pairs of workspace and name."""
    known = {known for workspace, name in names for known in (name, f"{workspace}/{name}")}
    return [key for key in renames if key not in known and not key.endswith(_ANY)]


def _of_meeting(noun: str, target: str, meeting: list[str], *, joinable: bool) -> str:
    listed = ", ".join(map(repr, meeting))
    option = f"--rename-{noun.replace(' ', '-')}"
    sentence = f"the {noun}s {listed} of the archive would all be {target!r} in the target; nothing is written"
    if joinable:
        return f"{sentence}. To bring them into one, give each that name: {option} {meeting[-1]}={target}"
    return f"{sentence}. Give each a name of its own with {option}, or leave some out"


def read_renames(renaming: Renaming) -> dict[str, str]:
    """Return renames as they are given, or those in a file: lines ``old,new`` as CSV, or one JSON object.

    Raises SelectionError for a file that cannot be read or is neither, with the line.
    """
    if isinstance(renaming, Mapping):
        return dict(renaming)
    path = Path(renaming)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as exc:
        raise SelectionError(f"{path}: the names to rename cannot be read: {exc}") from exc
    pairs = _of_json(path, text) if text.lstrip().startswith("{") else _of_lines(path, text)
    return joined(pairs, place=str(path))


def joined(pairs: Iterable[tuple[str, str]], *, place: str) -> dict[str, str]:
    """Return pairs as renames. Raises SelectionError where one name gets two."""
    renames: dict[str, str] = {}
    for old, new in pairs:
        if renames.setdefault(old, new) != new:
            raise SelectionError(f"{place}: {old!r} cannot become both {renames[old]!r} and {new!r}")
    return renames


def _of_json(path: Path, text: str) -> Iterator[tuple[str, str]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError as exc:
        raise SelectionError(f"{path} begins like a JSON object and is none: {exc}") from exc
    for old, new in pairs:
        if not (old and isinstance(new, str) and new):
            raise SelectionError(f"{path}: {old!r} becomes {new!r}, expected a name for a name")
        yield old, new


def _of_lines(path: Path, text: str) -> Iterator[tuple[str, str]]:
    rows = csv.reader(text.splitlines(), strict=True, skipinitialspace=True)
    try:
        for row in rows:
            if not any(map(str.strip, row)):
                continue
            if len(row) != 2 or not all(row):
                raise SelectionError(f"{path}, line {rows.line_num}: found {','.join(row)!r}, expected old,new")
            yield row[0], row[1]
    except csv.Error as exc:
        raise SelectionError(f"{path}, line {rows.line_num}: {exc}; expected old,new") from exc
