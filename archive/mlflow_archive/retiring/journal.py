"""The journal beside a receipt while objects are deleted: a line for each time that some entries changed.

It is on the medium before the receipt that names it, so that a receipt never lacks its own; a line that a kill has cut
off is no line. What it has is in the next receipt that is written whole, and then it is removed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow_archive.storage.files import Files

JOURNAL: Final = "journal"
"""The field of a receipt that names its journal, and what stands in that name behind that of the receipt."""


@dataclass(slots=True)
class Journal:
    """A journal that grows; ``size`` is what it holds, in bytes."""

    path: Path
    size: int = 0

    def add(self, changes: Sequence[Sequence[Any]]) -> None:
        """Add pairs of place and entry, durably. Raises TargetError."""
        line = json.dumps(changes).encode("ascii") + b"\n"
        with Files().append(self.path, self.size) as output:
            output.write(line)
            output.sync()
        self.size += len(line)


def new_journal(receipt: Path, document: Mapping[str, Any]) -> Journal:
    """Return an empty journal for a receipt that is not written yet. Raises TargetError."""
    mark = hashlib.sha256(json.dumps([document, _marks(receipt)]).encode("ascii")).hexdigest()[:16]
    path = receipt.with_name(f"{receipt.name}.{JOURNAL}-{mark}")
    with Files().create(path) as output:
        output.sync()
    Files().sync_directory(path.parent)
    return Journal(path)


def changes_in(receipt: Path, document: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield place and entry of what the journal of a receipt has, in order. Raises OSError, ValueError."""
    if JOURNAL not in document:
        return
    *lines, _ = receipt.with_name(Path(document[JOURNAL]).name).read_bytes().split(b"\n")
    for line in lines:
        yield from json.loads(line)


def remove_journals(receipt: Path, *, but: Journal | None) -> None:
    """Remove the journals of receipts that were there before. Raises TargetError."""
    for name in _marks(receipt):
        if but is None or name != but.path.name:
            Files().remove(receipt.with_name(name))


def _marks(receipt: Path) -> list[str]:
    """Return the names of the journals that lie beside a receipt."""
    beginning = f"{receipt.name}.{JOURNAL}-"
    return sorted(path.name for path in receipt.parent.iterdir() if path.name.startswith(beginning))
