"""The receipt of a retirement: one JSON file, on the medium before the first delete, that says what became of what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import LOGGED_MODEL, TRACE
from mlflow_archive.retiring.site import Address
from mlflow_archive.storage.files import Files

NEW: Final = "new"
PLANNED: Final = "planned"
DELETING: Final = "deleting"
"""What an object is from before its delete until it was looked at once more."""
DELETED: Final = "deleted"
PURGING: Final = "purging"
"""What an object is from before its rows go until its files are gone."""
PURGED: Final = "purged"
LEFT: Final = "left"
HELD: Final = "held"
BROUGHT_BACK: Final = "brought back"
RETIRE: Final = "retire"
_BACK: Final = "bring_back"
_OUTSIDE: Final = ("command", "state", _BACK, "objects")


@dataclass(slots=True, kw_only=True)
class RetiredObject:
    """An object and what became of it; ``code`` and ``reason`` say why it was left or is held.

    ``name`` and ``experiment`` are empty where the source has none, ``maker`` is the run that made a logged model.
    """

    kind: str
    id: str
    name: str = ""
    experiment_id: str
    experiment: str = ""
    maker: str | None = None
    workspace: str | None = None
    updated_ms: int | None = None
    state: str = PLANNED
    code: str = ""
    reason: str = ""

    @property
    def address(self) -> Address:
        """The object, as a site takes it."""
        return Address(kind=self.kind, id=self.id, workspace=self.workspace, updated_ms=self.updated_ms)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that say something."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value not in (None, "")}


@dataclass(slots=True, kw_only=True)
class RetireReceipt:
    """What is retired: ``facts`` say what was asked for, of which archive and source. Saved whole, or not at all."""

    path: Path | None
    facts: dict[str, Any]
    entries: list[RetiredObject] = field(default_factory=list)
    state: str = NEW

    def save(self, state: str | None = None) -> None:
        """Write it to the medium. Raises TargetError."""
        self.state = state or self.state
        if self.path is not None:
            text = json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
            Files().write(self.path.absolute(), text.encode("utf-8", "surrogatepass"))

    def to_json(self) -> dict[str, Any]:
        """Return the document."""
        back = f"mlflow-archive undo {self.path.name}" if self.path is not None else ""
        return {
            "command": RETIRE,
            "state": self.state,
            **self.facts,
            _BACK: back,
            "objects": [{**entry.to_json(), **self._otherwise(entry)} for entry in self.entries],
        }

    def _otherwise(self, entry: RetiredObject) -> dict[str, str]:
        command = self.way_back(entry)
        return {_BACK: command} if command else {}

    def way_back(self, entry: RetiredObject) -> str:
        """Return the command that brings an object back which ``undo`` alone does not, empty for any other."""
        of_server = str(self.facts.get("source")).startswith("http")
        if entry.state in (PURGING, PURGED):
            option = f"--trace {entry.id}" if entry.kind == TRACE else f"--run {entry.maker or entry.id}"
            target = "DATABASE" if of_server else self.facts.get("source")
            return f"mlflow-archive restore {self.facts.get('archive')} {option} --merge --to {target}"
        if of_server and entry.kind == LOGGED_MODEL and entry.state in (DELETING, DELETED):
            return f"mlflow-archive undo {self.path.name if self.path else 'RECEIPT'} --to DATABASE"
        return ""

    def check(self, facts: Mapping[str, Any]) -> None:
        """Raise SelectionError unless it is of the same archive, source and question, and was not undone."""
        for name, value in facts.items():
            if self.facts.get(name) != value:
                raise SelectionError(
                    f"{self.path} is the receipt of another retirement: its {name.replace('_', ' ')} is "
                    f"{self.facts.get(name)!r}, not {value!r}; give another --receipt"
                )
        if self.state == BROUGHT_BACK:
            raise SelectionError(
                f"{self.path} was undone: what it had deleted is back, and nothing is deleted by its list again; list "
                "anew what would go: give another --receipt"
            )


def read_receipt(path: Path) -> RetireReceipt:
    """Return the receipt at a path. Raises SelectionError for anything else."""
    try:
        document = json.loads(path.read_bytes())
        entries = [_entry(entry) for entry in document["objects"]]
        facts = {name: value for name, value in document.items() if name not in _OUTSIDE}
        receipt = RetireReceipt(path=path, facts=facts, entries=entries, state=document["state"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SelectionError(f"{path} is no receipt of a retirement: {error}") from error
    if document.get("command") != RETIRE:
        raise SelectionError(f"{path} is the receipt of {document.get('command')!r}, not of a retirement")
    return receipt


def _entry(values: Mapping[str, Any]) -> RetiredObject:
    return RetiredObject(**{name: value for name, value in values.items() if name != _BACK})
