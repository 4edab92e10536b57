"""What writers of the gateway share: the names of endpoints in the target, and which objects lack a secret.

Scorers and bindings name endpoints by id or by name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from threading import Lock
from typing import Final

from mlflow_archive.format import refusals
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.object_writer import ObjectWriter
from mlflow_archive.sinks.replay.writing.receipt import counted
from mlflow_archive.sinks.replay.writing.waiting import Waiting

_MOST_NAMES: Final = 20
_MODEL: Final = re.compile(r'("model"\s*:\s*"gateway:/)([^"\\]+)(")')


class GatewayNames:
    """Endpoints of the source, by id and by name, and the secrets that those of them wait for that are not made."""

    def __init__(self, context: ReplayContext) -> None:
        self.missing_secrets = MissingSecrets(context)
        self._lock = Lock()
        self._names: dict[str, str] = {}
        self._waiting: dict[str, frozenset[str]] = {}

    def add(self, source_id: str, source_name: str, target_name: str) -> None:
        with self._lock:
            self._names[source_id] = self._names[source_name] = target_name

    def name_of(self, reference: str | None) -> str | None:
        """Return the target's name of an endpoint that is named by its source id or name; MLflow shows either."""
        return self._names.get(reference or "")

    def wait(self, *names: str, secrets: frozenset[str]) -> None:
        """Note that an endpoint or scorer, by source id and target name, cannot be made without these secrets."""
        with self._lock:
            self._waiting.update(dict.fromkeys(names, secrets))

    def secrets_of(self, *names: str | None) -> frozenset[str]:
        """Return the secrets that these endpoints and scorers wait for."""
        return frozenset().union(*(self._waiting.get(name or "", ()) for name in names))

    def remap(self, scorer: str) -> str:
        """Return the text of a scorer with the target's names of the endpoints it asks, all else as it is.

        A database holds ids there and MLflow's API shows names; it takes only names.
        """
        return _MODEL.sub(lambda match: match[1] + self._names.get(match[2], match[2]) + match[3], scorer)

    def secrets_for(self, scorer: str) -> frozenset[str]:
        """Return the secrets that endpoints wait for which a remapped scorer asks."""
        return self.secrets_of(*(match[2] for match in _MODEL.finditer(scorer)))


class MissingSecrets:
    """Objects that cannot be made before a secret of the gateway is in the target: one refusal a kind reports them."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._waiting = Waiting[str, tuple[str, Collection[str]]]()

    def add(self, kind: str, name: str, secrets: Collection[str]) -> bool:
        """Note an object if it needs any ``secrets``, and return whether it does; ``name`` is for the report."""
        if not secrets:
            return False
        self._waiting.add(kind, (name, secrets))
        self._context.receipt.done("refused", kind)
        return True

    def report(self) -> None:
        """Put all of it into the receipt."""
        for kind in sorted(self._waiting.needs()):
            objects = self._waiting.pop(kind)
            names, needed = [name for name, _ in objects], {secret for _, secrets in objects for secret in secrets}
            reason = (
                f"{counted(kind, len(names))} ({_listed(names)}): no archive holds secrets; "
                f"enter {_listed(needed)} in the target's gateway again, then repeat the import"
            )
            self._context.receipt.refuse(kind, "", "", refusals.SECRET_NEEDED, reason)


def _listed(names: Collection[str]) -> str:
    """Return the names, sorted, at most twenty of them."""
    first = ", ".join(repr(name) for name in sorted(names)[:_MOST_NAMES])
    return first if len(names) <= _MOST_NAMES else f"{first} and {len(names) - _MOST_NAMES} more"


class GatewayWriter(ObjectWriter):
    """Writes objects that name endpoints or secrets of the gateway."""

    def __init__(self, context: ReplayContext, names: GatewayNames) -> None:
        super().__init__(context)
        self._names = names
