"""Run ids inside content: ``mlflow.log-model.history`` and ``MLmodel`` files name the run they belong to.

Edits are textual and minimal, so that every other character stays as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from mlflow_archive.format.source_tags import shorten

HISTORY: Final = "mlflow.log-model.history"
PARENT: Final = "mlflow.parentRunId"
RUN_NAME: Final = "mlflow.runName"
USER: Final = "mlflow.user"
LARGEST_MLMODEL: Final = 16 * 1024 * 1024

_JSON_RUN_ID = re.compile(r'("run_id"\s*:\s*")([^"\\]+)(")')
_YAML_RUN_ID = re.compile(rb"""^(run_id:[ \t]*(['"]?))([^\s'"]+)(\2[ \t]*\r?)$""", re.MULTILINE)

Mapped = Callable[[str], str | None]
"""Source run id -> its id in the target, or None where it is not there."""


def remap_history(value: str, mapped: Mapped) -> str:
    """Replace the ``run_id`` fields of a JSON text by the ids in the target, where these are known."""
    return _JSON_RUN_ID.sub(lambda found: found[1] + (mapped(found[2]) or found[2]) + found[3], value)


def fit_history(value: str, limit: int) -> str:
    """Cut a history to ``limit`` characters: the newest entries that fit, so that it stays JSON; else by digest."""
    if len(value) <= limit:
        return value
    try:
        entries = json.loads(value)
    except ValueError:
        return shorten(value, limit)
    while isinstance(entries, list) and len(entries) > 1:
        entries = entries[1:]
        text = json.dumps(entries)
        if len(text) <= limit:
            return text
    return shorten(value, limit)


def remap_mlmodel(data: bytes, mapped: Mapped) -> bytes:
    """Replace the value of the line ``run_id:`` of an MLmodel file by the id in the target, where it is known."""

    def replaced(found: re.Match[bytes]) -> bytes:
        target = mapped(found[3].decode("utf-8", "replace"))
        return found[0] if target is None else found[1] + target.encode("ascii") + found[4]

    return _YAML_RUN_ID.sub(replaced, data)


def is_mlmodel(path: str) -> bool:
    """Say whether an artifact is the description of a model."""
    return path.rpartition("/")[2] == "MLmodel"
