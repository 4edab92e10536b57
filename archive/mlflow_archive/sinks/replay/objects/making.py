"""What writers share of objects that have no tag to be found by.

What waits for a secret is told once a kind, with number and names.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.http.session import Params
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.target.target import Api
from mlflow_archive.sinks.replay.writing.receipt import counted

_NAMED: Final = 20


def get_or_none(api: Api, path: str, params: Params) -> Any:
    """GET something by name; None where the target knows such things but has not this one."""
    try:
        return api.get(path, params)
    except ServerError as exc:
        if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def parsed(text: str | None, what: str) -> Any:
    """Return JSON text decoded, None for null. Raises ItemError where it is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ItemError(f"{what} is no JSON: {exc}") from exc


def target_of(context: ReplayContext, kind: str, source_id: str | None) -> str:
    """Return the target's id of what an object refers to. Raises ItemError where it is not there."""
    found = context.mapped(kind, source_id)
    if found is None:
        raise ItemError(f"{kind.replace('_', ' ')} {source_id} is not in the target")
    return found


class Waiting:
    """Objects that cannot be made before a secret of the gateway is in the target, by kind."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._lock = Lock()
        self._for_secrets: dict[str, tuple[list[str], set[str]]] = {}

    def for_secrets(self, kind: str, name: str, secrets: Collection[str]) -> None:
        """Take note that an object cannot be made before these secrets of the gateway are in the target."""
        with self._lock:
            names, needed = self._for_secrets.setdefault(kind, ([], set()))
            names.append(name)
            needed.update(secrets)
        self._context.receipt.done("refused", kind)

    def tell(self) -> None:
        """Put all of it into the receipt."""
        for kind, (names, needed) in sorted(self._for_secrets.items()):
            reason = (
                f"{counted(kind, len(names))} ({listed(names)}): no archive holds secrets; "
                f"enter {listed(needed)} in the target's gateway again, then repeat the import"
            )
            self._context.receipt.refuse(kind, "", "", refusals.SECRET_NEEDED, reason)


def listed(names: Collection[str]) -> str:
    """Return the names, sorted, at most twenty of them."""
    some = ", ".join(repr(name) for name in sorted(names)[:_NAMED])
    return some if len(names) <= _NAMED else f"{some} and {len(names) - _NAMED} more"
