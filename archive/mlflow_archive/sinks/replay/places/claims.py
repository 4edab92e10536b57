"""What imports that run say of themselves in the target: each in a tag of one experiment, which no other writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from mlflow_archive.format.source_tags import OWN_PREFIX

KEY: Final = OWN_PREFIX + "import_turn."
"""Start of the key of such a tag; then comes what tells this import from all others."""
_ANY: Final = "any"
_LONGEST: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One import. ``number`` is its place in the line, None while it chooses one.

    ``beat`` changes for as long as it runs, ``process`` is the name of its process. ``sources`` are digests of where
    its objects come from, and ``ended`` names the imports that it has taken for dead.
    """

    name: str
    number: int | None = None
    beat: int = 0
    process: str = ""
    sources: frozenset[str] = frozenset({_ANY})
    ended: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The key of its tag."""
        return KEY + self.name

    @property
    def text(self) -> str:
        """The value of its tag; sources that would make that too long become any source."""
        fields = {
            "number": self.number,
            "beat": self.beat,
            "process": self.process,
            "ended": sorted(self.ended),
            "sources": sorted(self.sources),
        }
        text = json.dumps(fields)
        return text if len(text) <= _LONGEST else json.dumps({**fields, "sources": [_ANY]})

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Read a tag; one that says something else, as one half written, is an import that chooses."""
        try:
            fields = json.loads(text)
            return cls(
                name=name,
                number=None if fields["number"] is None else int(fields["number"]),
                beat=int(fields["beat"]),
                process=str(fields["process"]),
                sources=frozenset(map(str, fields["sources"])),
                ended=frozenset(map(str, fields["ended"])),
            )
        except (ValueError, TypeError, KeyError):
            return cls(name=name)

    def is_ahead_of(self, other: Self) -> bool:
        """Return whether another import must wait for this one."""
        if not (self.sources & other.sources or _ANY in self.sources | other.sources):
            return False
        if self.number is None or other.number is None:
            return self.number is None
        return (self.number, self.name) < (other.number, other.name)


def claims_of(tags: Mapping[str, str]) -> dict[str, Claim]:
    """Return the imports that the tags of an experiment tell of, by name."""
    names = [key.removeprefix(KEY) for key in tags if key.startswith(KEY)]
    return {name: Claim.parse(name, tags[KEY + name]) for name in names}
