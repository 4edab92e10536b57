"""Where tests break what must hold wherever it breaks: everywhere by ``make test-cuts``, else here and there."""

from __future__ import annotations

import os
from typing import Final

EVERYWHERE: Final = os.environ.get("TEST_CUTS") == "1"


def every(step: int) -> int:
    """Return how far apart the places are that are tried: ``step``, or next to each other where all of them are."""
    return 1 if EVERYWHERE else step
