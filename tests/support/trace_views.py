"""What a server or store holds of traces: its rows as they are, its artifacts, and what MLflow's client shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from tests.support.tracking_uri import tracking_to

_OF_TRACES = {
    "trace_info": "request_id",
    "trace_tags": "request_id",
    "trace_request_metadata": "request_id",
    "assessments": "trace_id",
    "spans": "trace_id",
    "entity_associations": "source_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePlace:
    """A tracking server or store on SQLite; ``uri`` is for MLflow's client, ``artifacts`` where artifacts lie."""

    uri: str
    database: Path
    artifacts: Path

    def rows(self, table: str, trace_id: str) -> list[dict[str, Any]]:
        """Return the rows that a table has of a trace."""
        with sqlite3.connect(self.database) as connection:
            connection.row_factory = sqlite3.Row
            query = f"SELECT * FROM {table} WHERE {_OF_TRACES[table]} = ?"  # noqa: S608 - names of our own
            rows = [dict(row) for row in connection.execute(query, [trace_id])]
        connection.close()
        return rows

    def pairs(self, table: str, trace_id: str) -> dict[str, str]:
        """Return tags or metadata at full length."""
        return {row["key"]: row["value"] for row in self.rows(table, trace_id)}

    def folder(self, trace_id: str) -> Path:
        """Return where the artifacts of a trace lie."""
        location = self.pairs("trace_tags", trace_id)["mlflow.artifactLocation"]
        path = unquote(urlparse(location).path) if ":" in location else location
        return self.artifacts / path.lstrip("/") if location.startswith("mlflow-artifacts:") else Path(path)

    def files(self, trace_id: str) -> dict[str, bytes]:
        """Return the artifacts of a trace."""
        return dict(_files(self.folder(trace_id)))

    def trace_ids(self) -> list[str]:
        with sqlite3.connect(self.database) as connection:
            found = [row[0] for row in connection.execute("SELECT request_id FROM trace_info ORDER BY 1")]
        connection.close()
        return found

    def trace(self, trace_id: str) -> Any:
        """Return a trace with its spans, as MLflow's client reads it."""
        with client_of(self.uri) as client:
            return client.get_trace(trace_id)

    def state(self, trace_id: str) -> dict[str, Any]:
        """Return all that a second import could change of a trace."""
        tables = {
            table: sorted((sorted(row.items(), key=str) for row in self.rows(table, trace_id)), key=str)
            for table in _OF_TRACES
        }
        return {**tables, "files": self.files(trace_id)}


@contextmanager
def client_of(uri: str) -> Iterator[Any]:
    """Give MLflow's client; what it reads later, such as records or files, comes from the server that is set."""
    import mlflow  # noqa: PLC0415 - takes seconds

    with tracking_to(uri):
        yield mlflow.MlflowClient(uri)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
