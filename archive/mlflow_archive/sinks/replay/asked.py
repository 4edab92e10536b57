"""What was asked of an import, as its receipt states it: the options and the selection that are not the default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.options import ReplayOptions

_OF_THE_WORK: Final = frozenset({"dry_run", "artifact_root", "jobs", "limits"})
"""Options that change nothing of what is written."""


def asked(options: ReplayOptions | Selection) -> dict[str, Any]:
    """Return what is not the default, as JSON values."""
    default = type(options)()
    values = {field.name: getattr(options, field.name) for field in fields(options) if field.name not in _OF_THE_WORK}
    other = {name: value for name, value in values.items() if value != getattr(default, name)}
    return {name: _plain(value) for name, value in other.items()}


def asked_options(document: Mapping[str, Any]) -> ReplayOptions:
    """Return the options that a receipt states; those that this version does not know are left out."""
    return ReplayOptions(**_known(document, ReplayOptions))


def asked_selection(document: Mapping[str, Any]) -> Selection:
    """Return the selection that a receipt states."""
    values: dict[str, Any] = _known(document, Selection)
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return Selection(**values)


def _known(document: Mapping[str, Any], record: type[ReplayOptions | Selection]) -> dict[str, Any]:
    names = {field.name for field in fields(record)} - _OF_THE_WORK
    return {name: value for name, value in document.items() if name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
