"""What a manifest states of the rules by which values were taken out of an export (spec/format.md, "Redaction")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

REDACTION: Final = "redaction"
REDACTION_MINOR: Final = 6
"""The minor version that brought redaction."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = {"archive", "names", "rules"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """``rules`` stands for the file of rules, and the key where there is one; ``names`` are those of the rules.

    ``archive`` is the id of the archive to which they were applied, None where they were applied to a source.
    """

    rules: str
    names: tuple[str, ...] = ()
    archive: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest has it."""
        known = {"rules": self.rules, "names": list(self.names)}
        return known if self.archive is None else {**known, "archive": self.archive}


def parse_redaction(export: Mapping[str, Any]) -> Redaction | None:
    """Read it of an export, None where it states none. Raises ValueError."""
    if REDACTION not in export:
        return None
    value = export[REDACTION]
    if not isinstance(value, dict) or not {"names", "rules"} <= value.keys() <= _KEYS:
        raise ValueError("redaction must be an object of rules and names, and archive where it is one's")
    names, digests = value["names"], [value["rules"], *([value["archive"]] if "archive" in value else [])]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("redaction has names that are no list of texts")
    if sorted(set(names)) != names:
        raise ValueError("redaction has names that are not sorted, or one twice")
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in digests):
        raise ValueError("redaction has rules or an archive that is no SHA-256 in hex")
    return Redaction(rules=value["rules"], names=tuple(names), archive=value.get("archive"))
