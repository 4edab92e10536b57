"""Traces of a database, judged by a filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mlflow_archive.backend.mapping import MAPS
from mlflow_archive.sources.database.converting import Malformed
from mlflow_archive.sources.database.reading import Reading
from mlflow_archive.sources.database.runs import plain
from mlflow_archive.sources.database.selecting import Matching
from mlflow_archive.sources.trace_filter import SearchedTrace, compile_trace_filter

_JUDGED: Final = ("traces", "trace_tags", "trace_metadata", "trace_links")


def traces_matching(reading: Reading, filter_string: str) -> Matching:
    """Return what gives those of some traces that a filter takes. Raises SelectionError."""
    matches = compile_trace_filter(filter_string)

    def matching(ids: Sequence[str]) -> Sequence[str]:
        rows = {name: _by_trace(reading, name, ids) for name in _JUDGED}
        found = []
        for trace_id in ids:
            info = rows["traces"].get(trace_id)
            tags, metadata = (_pairs(rows[name].get(trace_id, [])) for name in ("trace_tags", "trace_metadata"))
            links = rows["trace_links"].get(trace_id, [])
            # One that cannot be read comes along, so that it is told of.
            if not info or matches([SearchedTrace(info=info[0], tags=tags, metadata=metadata, links=links)]):
                found.append(trace_id)
        return found

    return matching


def _by_trace(reading: Reading, name: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in plain(reading.rows(MAPS[name], ids, _ignore)):
        found.setdefault(row["trace_id"], []).append(row)
    return found


def _pairs(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {row["key"]: row["value"] for row in rows}


def _ignore(wrong: Malformed) -> None:
    """Leave it: the same rows are read again, and told of, when they are carried."""
