"""What an export states that was made of values from which some were taken out, and what it may be added to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from mlflow_archive.errors import TargetError
from mlflow_archive.format.manifest import Manifest, canonical_json
from mlflow_archive.format.redaction import Redaction
from mlflow_archive.selecting.selection import Selection

_WORDS: Final = frozenset({"kinds", "stages", "registry"})
"""Texts of a selection that name nothing of the source's."""
_ASKED: Final = ("source", "selection")
_STAND_IN: Final = "[redacted]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """By which rules values were taken out, and what may be stated of the selection, and of the source once all was
    read; ``erased`` has the ids of the objects that go, by kind."""

    redaction: Redaction
    source: Callable[[], Mapping[str, Any]]
    selection: Mapping[str, Any]
    erased: Mapping[str, Collection[str]] = field(default_factory=dict)


def check_redaction(base: Manifest, redacted: Redacted | None) -> None:
    """Raise TargetError where exports of other rules, or of none, would stand in one archive with what is added.

    What the earlier ones hold, or the new one, is what the rules of the others take out.
    """
    rules = None if redacted is None else redacted.redaction.rules
    earlier = {None if export.redaction is None else export.redaction.rules for export in base.exports}
    if earlier == {rules}:
        return
    if rules is None:
        raise TargetError(
            "values were taken out of this archive by rules, and what is added would bring them back: give --redact "
            "with the same rules and key, or export into an archive of its own"
        )
    raise TargetError(
        "the archive has an export that was made without these rules, or with another key, and holds what they take "
        "out: redact it first, or export into an archive of its own"
    )


def without_texts(plan: Mapping[str, Any], redacted: Redacted) -> dict[str, Any]:
    """Return the plan of an export, which lies beside an archive after a kill, with a digest for what may name
    somebody.

    What another selection took must not be taken up, nor what was staged while other objects were erased: a run may
    have been given the mark since by which it goes.
    """
    erased = {kind: sorted(ids) for kind, ids in redacted.erased.items()}
    named = {name: plan[name] for name in _ASKED} | {"erased": erased}
    digest = hashlib.sha256(canonical_json(named)).hexdigest()
    return {**plan, **dict.fromkeys(_ASKED), "asked": digest, "redaction": redacted.redaction.to_json()}


def stated_selection(selection: Selection) -> dict[str, Any]:
    """Return what of a selection differs from taking everything, as JSON values."""
    default = asdict(Selection())
    limits = {name: value for name, value in asdict(selection).items() if value != default[name]}
    limits.pop("on_missing", None)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in limits.items()}


def without_names(selection: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an export states of its selection without what may name somebody, such as a filter."""
    return {name: _without_names(name, value) for name, value in selection.items()}


def _without_names(name: str, value: Any) -> Any:
    if name in _WORDS or isinstance(value, bool | int):
        return value
    return [_STAND_IN] if isinstance(value, list) else _STAND_IN
