"""Ids and names inside content: ``mlflow.log-model.history`` and ``MLmodel`` files name the run and the logged model
they are of, ``mlflow.linkedPrompts`` the prompts that were used.

Edits are textual and minimal, so that every other character stays as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from mlflow_archive.format.json_text import parse_json
from mlflow_archive.format.source_tags import shorten

HISTORY: Final = "mlflow.log-model.history"
LINKED_PROMPTS: Final = "mlflow.linkedPrompts"
"""A tag of runs, logged models and traces: a JSON list of ``{"name", "version"}``."""
PARENT: Final = "mlflow.parentRunId"
RUN_NAME: Final = "mlflow.runName"
USER: Final = "mlflow.user"
LARGEST_MLMODEL: Final = 16 * 1024 * 1024

_JSON_ID = re.compile(r'("(?:run_id|model_id|model_uuid)"\s*:\s*")([^"\\]+)(")')
_JSON_MODEL_ID = re.compile(r'("(?:model_id|model_uuid)"\s*:\s*")(m-[^"\\]+)(")')
_JSON_OBJECT = re.compile(r'\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}')
_JSON_VERSION = re.compile(r'("version"\s*:\s*)("(?:[^"\\]|\\.)*")')
_JSON_NAME = re.compile(r'("name"\s*:\s*)("(?:[^"\\]|\\.)*")')
# Lines of the top level only, where MLflow writes ids.
_YAML_ID = re.compile(rb"""^((?:run_id|model_id|model_uuid):[ \t]*(['"]?))([^\s'"]+)(\2[ \t]*\r?)$""", re.MULTILINE)
_YAML_MODEL_ID = re.compile(rb"""^(?:model_id|model_uuid):[ \t]*['"]?(m-[^\s'"]+)""", re.MULTILINE)

Mapped = Callable[[str], str | None]
"""Source id -> id in the target, or None where that is not known."""
Numbered = Callable[[str, str], str]
"""Name and version of a prompt at the source -> version in the target."""


def _as_they_are(name: str, version: str) -> str:
    del name
    return version


def remap_history(value: str, mapped: Mapped) -> str:
    """Replace the ids of runs and logged models in a JSON text by those in the target, where these are known."""
    return _JSON_ID.sub(lambda match: match[1] + (mapped(match[2]) or match[2]) + match[3], value)


def models_in_history(value: str) -> frozenset[str]:
    """Return the ids of the logged models that a history names."""
    return frozenset(match[2] for match in _JSON_MODEL_ID.finditer(value))


def without_model_ids(value: str) -> str:
    """Return a history with its ids of logged models left out, for comparing one with a remapped one."""
    return _JSON_MODEL_ID.sub(r"\1\3", value)


def remap_linked_prompts(
    tags: Mapping[str, str | None], renamed: Callable[[str], str], numbered: Numbered = _as_they_are
) -> dict[str, str | None]:
    """Return tags in which the linked prompts, if any, have the names and numbers that they have in the target.

    ``numbered`` gives the version of a prompt there, both as they are at the source.
    """
    value = tags.get(LINKED_PROMPTS)
    if not value:
        return dict(tags)
    value = _JSON_OBJECT.sub(lambda match: _renumbered(match[0], numbered), value)
    return {**tags, LINKED_PROMPTS: _JSON_NAME.sub(lambda match: _renamed(match, renamed), value)}


def _renumbered(text: str, numbered: Numbered) -> str:
    """Return the JSON of one linked prompt with the version that it has in the target."""
    try:
        prompt = parse_json(text)
    except ValueError:  # not JSON, so not what MLflow wrote
        return text
    name, version = prompt.get("name"), prompt.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        return text
    target = numbered(name, version)
    return text if target == version else _JSON_VERSION.sub(lambda match: match[1] + json.dumps(target), text)


def _renamed(match: re.Match[str], renamed: Callable[[str], str]) -> str:
    try:
        name = parse_json(match[2])
    except ValueError:  # not JSON, so not what MLflow wrote
        return match[0]
    target = renamed(name)
    return match[0] if target == name else match[1] + json.dumps(target)


def fit_history(value: str, limit: int) -> str:
    """Cut a history to ``limit`` characters: the newest entries that fit, so that it stays JSON; else by digest."""
    if len(value) <= limit:
        return value
    try:
        entries = parse_json(value)
    except ValueError:
        return shorten(value, limit)
    while isinstance(entries, list) and len(entries) > 1:
        entries = entries[1:]
        text = json.dumps(entries)
        if len(text) <= limit:
            return text
    return shorten(value, limit)


def remap_mlmodel(data: bytes, mapped: Mapped) -> bytes:
    """Replace the ids of runs and logged models in an MLmodel file by those in the target, where these are known."""

    def replaced(match: re.Match[bytes]) -> bytes:
        target = mapped(match[3].decode("utf-8", "replace"))
        return match[0] if target is None else match[1] + target.encode("ascii") + match[4]

    return _YAML_ID.sub(replaced, data)


def models_in_mlmodel(data: bytes) -> frozenset[str]:
    """Return the ids of the logged models that an MLmodel file names."""
    return frozenset(match[1].decode("utf-8", "replace") for match in _YAML_MODEL_ID.finditer(data))


def is_mlmodel(path: str) -> bool:
    """Return whether an artifact is an MLmodel file, the description of a model."""
    return path.rpartition("/")[2] == "MLmodel"
