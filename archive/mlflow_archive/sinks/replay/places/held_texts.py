"""What the target can hold in a text at all: changed before a writer sees it, so that every kind is treated alike."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format.nul_characters import NUL, columns_with_nul, without_nul
from mlflow_archive.http.default_uri import scheme_of
from mlflow_archive.kinds import TABLES
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.writing.failures import is_about_one_item
from mlflow_archive.sinks.replay.writing.receipt import Receipt

_SEARCH: Final = "/api/2.0/mlflow/experiments/search"


class HeldTexts:
    """Makes NUL characters visible where the target's database holds none. Usable by several threads."""

    def __init__(self, target: Target, receipt: Receipt) -> None:
        self._target, self._receipt = target, receipt
        self._lock = Lock()
        self._holds_nul: bool | None = None

    def fit(self, chunk: Chunk) -> Chunk:
        """Return a chunk of which the target can hold every text; what that changes is in the receipt."""
        with_nul = [name for name, rows in chunk.tables.items() if TABLES[name].entity and columns_with_nul(rows)]
        if not with_nul or self._target_holds_nul():
            return chunk
        tables = dict(chunk.tables)
        for name in with_nul:
            tables[name], changed = without_nul(name, tables[name])
            for text in changed:
                self._receipt.rewritten(text.to_json())
            self._receipt.changed("texts_with_nul", len(changed))
        return replace(chunk, tables=tables)

    def _target_holds_nul(self) -> bool:
        """Return whether the target's database takes a text with NUL, by a search for a name that has one."""
        if scheme_of(self._target.uri) == "postgresql":
            return False
        with self._lock:
            if self._holds_nul is None:
                condition = f"name = 'a{NUL}b'"
                try:
                    self._target.api.post(_SEARCH, {"filter": condition, "max_results": 1})
                except ServerError as exc:
                    if not is_about_one_item(exc):
                        raise
                    self._holds_nul = False
                else:
                    self._holds_nul = True
            return self._holds_nul
