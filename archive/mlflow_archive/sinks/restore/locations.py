"""Where restored artifacts lie: the locations in rows are rewritten as the bytes move."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final

import pyarrow as pa

from mlflow_archive.artifact_roots.roots import is_local
from mlflow_archive.format.tables import LOGGED_MODEL, RUN, TRACE

_FOLDERS: Final = {RUN: "", LOGGED_MODEL: "models/", TRACE: "traces/"}
_IDS: Final = {"runs": RUN, "logged_models": LOGGED_MODEL, "traces": TRACE}
_COLUMNS: Final = {"runs": "artifact_uri", "logged_models": "artifact_location"}


class Locations:
    """Locations below a new root, laid out as MLflow lays them out; without a root they stay as they are.

    A relative folder becomes absolute, as the server will run elsewhere.
    """

    def __init__(self, root: str | None) -> None:
        if root is not None and is_local(root) and not root.lower().startswith("file:"):
            root = str(Path(root).absolute())
        self._root = None if root is None else root.rstrip("/")
        self._experiments: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def learn(self, tables: Mapping[str, pa.Table]) -> None:
        """Remember which experiment the owners of artifacts lie in, until all of theirs has come."""
        for name, kind in _IDS.items():
            rows = tables.get(name)
            if rows is not None and self._root is not None:
                pairs = zip(
                    rows[f"{kind.removeprefix('logged_')}_id"].to_pylist(),
                    rows["experiment_id"].to_pylist(),
                    strict=True,
                )
                with self._lock:
                    self._experiments.update({(kind, owner): experiment for owner, experiment in pairs})

    def of(self, kind: str, owner_id: str) -> str:
        """Return where the artifacts of an object lie. Raises LookupError for one that was not restored."""
        experiment_id = self._experiments.get((kind, owner_id))
        if experiment_id is None:
            raise LookupError(f"{kind} {owner_id} is not among what is restored")
        return f"{self._root}/{experiment_id}/{_FOLDERS[kind]}{owner_id}/artifacts"

    def rewritten(self, name: str, rows: pa.Table) -> pa.Table:
        """Return rows of an archive table with their locations rewritten."""
        if self._root is None:
            return rows
        if name == "experiments":
            ids = rows["experiment_id"].to_pylist()
            return _with(rows, "artifact_location", [f"{self._root}/{experiment_id}" for experiment_id in ids])
        if name in _COLUMNS:
            kind = _IDS[name]
            return _with(rows, _COLUMNS[name], [self.of(kind, i) for i in rows[rows.column_names[0]].to_pylist()])
        return rows


def _with(rows: pa.Table, name: str, values: list[str]) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), pa.array(values, pa.string()))
