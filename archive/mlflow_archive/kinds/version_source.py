"""What the source of a model version refers to: a run, a logged model, another version, or a place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN

NO_FILES: Final = ("dummy-source", "prompt-template")
"""Sources of prompts, which MLflow keeps as model versions without files."""

TOMBSTONE: Final = "Deleted_Internal"
"""The stage of versions that are deleted; their other fields are blanked."""

OF_MODEL: Final = re.compile(r"models:/+(m-[^/]+)(?:/(.*))?|.*?/models/(m-[^/]+)/artifacts(?:/(.*))?", re.DOTALL)
"""A source in the files of a logged model: its id and the path there, of a URI, or of a location in its folder."""

OF_RUN: Final = re.compile(r"runs:/+([^/]+)(?:/(.*))?|.*?/([0-9a-f]{32})/artifacts(?:/(.*))?", re.DOTALL)
"""The same of a run."""

_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_VERSION: Final = re.compile(r"[0-9]{1,10}")
_MODEL_ID: Final = re.compile(r"m-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference by id. Of a registered model, ``id`` is the name, with the ``version`` or the ``alias``."""

    kind: str
    id: str
    path: str = ""
    version: int | None = None
    alias: str | None = None


def parse_reference(source: str) -> Reference | None:
    """Return what a ``runs:`` or ``models:`` URI refers to; None for a place, and for what MLflow does not resolve.

    >>> parse_reference("models:/m-" + "0" * 32).kind, parse_reference("models:/churn/3").version
    ('logged_model', 3)
    """
    scheme, _, rest = source.partition(":")
    first, _, path = rest.strip("/").partition("/")
    if scheme == "runs" and first:
        return Reference(kind=RUN, id=first, path=path.strip("/"))
    if scheme != "models" or not first:
        return None
    if _MODEL_ID.fullmatch(first) and not path.isdecimal():
        return Reference(kind=LOGGED_MODEL, id=first, path=path.strip("/"))
    if _VERSION.fullmatch(path):
        return Reference(kind=REGISTERED_MODEL, id=first, version=int(path))
    name, at, alias = first.rpartition("@")
    return Reference(kind=REGISTERED_MODEL, id=name, alias=alias) if at and not path else None


def is_reference(source: str | None) -> bool:
    """Say whether a source is a ``runs:`` or ``models:`` URI."""
    return source is not None and source.partition(":")[0] in ("runs", "models")


def ids_named(sources: Iterable[str | None], kind: str) -> set[str]:
    """Return what may be ids of runs or logged models among the parts of some locations."""
    pattern = _MODEL_ID if kind == LOGGED_MODEL else _RUN_ID
    parts = {part for source in sources if source for part in source.split("/")}
    return {part for part in parts if pattern.fullmatch(part)}
