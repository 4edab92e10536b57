"""The newest MLflow that this version was tried with. A newer one is not refused, but it is said."""

from __future__ import annotations

import re
from typing import Final

NEWEST_TRIED: Final = (3, 18)
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


def untried(version: str | None) -> str | None:
    """Return a sentence about an MLflow that is newer, None for any other, or where the version is not known.

    >>> untried("3.18.4"), untried("2.9"), untried(None)
    (None, None, None)
    """
    match = _VERSION.match(version or "")
    if match is None or (int(match[1]), int(match[2])) <= NEWEST_TRIED:
        return None
    tried = ".".join(map(str, NEWEST_TRIED))
    return f"MLflow {version} is newer than {tried}, the newest that this version was tried with: look at the result"
