"""What gateway endpoints are called in the target: scorers and bindings name them by id or by name."""

from __future__ import annotations

import re
from threading import Lock
from typing import Final

_MODEL: Final = re.compile(r'("model"\s*:\s*"gateway:/)([^"\\]+)(")')


class GatewayNames:
    """Endpoints of the source, by id and by name, and the secrets that those of them wait for that are not made."""

    def __init__(self) -> None:
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
        """Note that an endpoint or scorer, by source id and target name, is not made for want of these secrets."""
        with self._lock:
            self._waiting.update(dict.fromkeys(names, secrets))

    def secrets_of(self, *names: str | None) -> frozenset[str]:
        """Return the secrets that these endpoints and scorers wait for."""
        return frozenset().union(*(self._waiting.get(name or "", ()) for name in names))

    def remap(self, scorer: str) -> str:
        """Return the text of a scorer with the target's names of the endpoints it asks, all else as it is.

        A database holds ids there and MLflow's API shows names; it takes only names.
        """
        return _MODEL.sub(lambda found: found[1] + self._names.get(found[2], found[2]) + found[3], scorer)

    def secrets_for(self, scorer: str) -> frozenset[str]:
        """Return the secrets that endpoints wait for which a remapped scorer asks."""
        return self.secrets_of(*(found[2] for found in _MODEL.finditer(scorer)))
