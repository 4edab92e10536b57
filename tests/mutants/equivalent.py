"""What a mutant is that changes nothing that anybody could see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

ANYWHERE: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalent:
    """Code that, replaced ``by`` other code, does the same. ``within`` is a pattern of module and function."""

    within: str
    code: str
    by: str
    reason: str

    def is_made_by(self, function: str, removed: str, added: str) -> bool:
        """Return whether a mutant, the lines that it takes away and adds, is this one."""
        return fnmatchcase(function, self.within) and removed.replace(self.code, self.by, 1) == added


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A part of code that nobody sees, so that it may be anything: what ``shown`` leaves away of lines."""

    within: str
    shown: Callable[[str], str]
    reason: str

    def is_made_by(self, function: str, removed: str, added: str) -> bool:
        """Return whether lines that are taken away and added differ in nothing else."""
        return fnmatchcase(function, self.within) and self.shown(removed) == self.shown(added)
