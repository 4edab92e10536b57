"""What a process has imported; this module imports nothing else."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def loaded(names: Sequence[str]) -> list[str]:
    """Return those of some modules that are imported here."""
    return [name for name in names if sys.modules.get(name) is not None]
