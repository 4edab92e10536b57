"""The receipt of a retirement: a JSON file, on the medium before the first delete, that says what became of what.

While objects are deleted a journal beside it takes what becomes of each, so that a batch costs as much as a batch has.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.journal import JOURNAL, Journal, changes_in, new_journal, remove_journals
from mlflow_archive.retiring.site import Address
from mlflow_archive.storage.files import Files

NEW: Final = "new"
RUNNING: Final = "running"
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
_GOING: Final = (PLANNED, DELETING, DELETED, PURGING, PURGED)
RETIRE: Final = "retire"
_BACK: Final = "bring_back"
_OUTSIDE: Final = ("command", "state", _BACK, JOURNAL, "objects")


@dataclass(slots=True, kw_only=True)
class RetiredObject:
    """An object and what became of it; ``code`` and ``reason`` say why it was left or is held.

    ``name`` and ``experiment`` are empty where the source has none, ``maker`` is the run that made a logged model. A
    version of a registered model is an object of its own only here, with the id ``NAME/VERSION``.
    """

    kind: str
    id: str
    name: str = ""
    experiment_id: str = ""
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
    """What is retired: ``facts`` say what was asked for, of which archive and source."""

    path: Path | None
    facts: dict[str, Any]
    entries: list[RetiredObject] = field(default_factory=list)
    state: str = NEW
    _changed: dict[int, RetiredObject] = field(default_factory=dict)
    _journal: Journal | None = None
    _runs: set[str] | None = None

    def put(self, index: int, entry: RetiredObject) -> None:
        """Give an object another entry, which the next ``save`` writes."""
        self.entries[index] = entry
        self._changed[index] = entry
        if self._runs is not None and entry.kind == RUN:
            (self._runs.add if entry.state in _GOING else self._runs.discard)(entry.id)

    def runs_that_go(self) -> Collection[str]:
        """Return the runs that go, or are gone; it follows what is put."""
        if self._runs is None:
            self._runs = {entry.id for entry in self.entries if entry.kind == RUN and entry.state in _GOING}
        return self._runs

    def save(self, state: str | None = None) -> None:
        """Write it to the medium: whole with a ``state``, else what was put since, into its journal.

        In the state RUNNING it has a journal, whose name is in it; in any other it is one file. Raises TargetError.
        """
        self.state = state or self.state
        if self.path is None:
            return
        if state is None and self._journal is not None:
            self._journal.add([[index, entry.to_json()] for index, entry in self._changed.items()])
        else:
            self._save_whole(self.path.absolute())
        self._changed.clear()

    def _save_whole(self, path: Path) -> None:
        document = self.to_json()
        self._journal = new_journal(path, document) if self.state == RUNNING else None
        if self._journal is not None:
            document = {"command": RETIRE, JOURNAL: self._journal.path.name, **document}
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        Files().write(path, text.encode("utf-8", "surrogatepass"))
        remove_journals(path, but=self._journal)

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
        if entry.state in (PURGING, PURGED) and "undoes" in self.facts:
            return f"mlflow-archive import {self.facts['archive']} --to {self.facts['source']}"
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
        for index, entry in changes_in(path, document):
            entries[index] = _entry(entry)
        facts = {name: value for name, value in document.items() if name not in _OUTSIDE}
        receipt = RetireReceipt(path=path, facts=facts, entries=entries, state=document["state"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SelectionError(f"{path} is no receipt of a retirement: {error}") from error
    if document.get("command") != RETIRE:
        raise SelectionError(f"{path} is the receipt of {document.get('command')!r}, not of a retirement")
    return receipt


def _entry(values: Mapping[str, Any]) -> RetiredObject:
    return RetiredObject(**{name: value for name, value in values.items() if name != _BACK})
