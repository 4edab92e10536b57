"""Collects the gaps of one owner, one per place and code, as the table ``gaps`` holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import FIELD_UNREADABLE


@dataclass(slots=True, kw_only=True)
class GapList:
    """The gaps of one owner; a second one at the same place with the same code adds to the reason of the first."""

    owner_kind: str
    owner_id: str
    found: dict[tuple[str, str], Gap] = field(default_factory=dict)

    def add(self, path: str, code: str, reason: str) -> None:
        """Add a gap of this owner."""
        if held := self.found.get((path, code)):
            reason = f"{held.reason}; {reason}"
        self.found[path, code] = Gap(
            owner_kind=self.owner_kind, owner_id=self.owner_id, path=path, code=code, reason=reason
        )

    def under(self, folder: str, code: str = FIELD_UNREADABLE) -> Callable[[str, str], None]:
        """Return a function that adds a gap for a key in a folder, or for a field where ``folder`` is empty."""

        def add(key: str, reason: str) -> None:
            self.add("/".join(part for part in (folder, key) if part), code, reason)

        return add

    def __bool__(self) -> bool:
        return bool(self.found)
