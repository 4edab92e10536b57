"""One JSON document of mlflow-export-import: ``system`` (who wrote it and when), ``info`` (counts), ``mlflow``.

{"system": {"package_version": "1.2.0", "export_time": 1684725509, "mlflow_version": "2.3.2", …},
 "info":   {"failed_runs": []},
 "mlflow": {"experiment": {…}, "runs": […]}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mlflow_archive.artifact_roots.names import printable

_POINT_KEYS = frozenset({"value", "timestamp", "step", "model_id", "dataset_name", "dataset_digest", "run_id"})


class DocumentUnreadableError(ValueError):
    """A document is missing, is no JSON or has another shape; the message says which, and where it lies."""


class JsonPoint(NamedTuple):
    """A point of a run's metric, as the values in the document; what is absent there is None."""

    value: Any
    timestamp: Any
    step: Any
    dataset_name: Any
    dataset_digest: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that was read; ``place`` is its path below the folder that is exported, for messages."""

    path: Path
    place: str
    system: Mapping[str, Any]
    info: Mapping[str, Any]
    body: Mapping[str, Any]

    @property
    def export_time(self) -> int:
        """When it was written, in seconds since the epoch; 0 if it does not say."""
        found = self.system.get("export_time")
        return int(found) if isinstance(found, int | float) and 0 <= found < 1e11 else 0


def read_document(path: Path, root: Path) -> Document:
    """Read a document; points of metrics come as JsonPoint, as a run may have a million of them.

    Raises DocumentUnreadableError.
    """
    place = place_of(path, root)
    found = _load(path, place)
    if not isinstance(found, dict):
        raise DocumentUnreadableError(f"{place} holds no JSON object")
    body = found.get("mlflow")
    if not isinstance(body, dict):
        raise DocumentUnreadableError(f"{place} has no part `mlflow`, which every document of mlflow-export-import has")
    system, info = found.get("system"), found.get("info")
    return Document(
        path=path,
        place=place,
        system=system if isinstance(system, dict) else {},
        info=info if isinstance(info, dict) else {},
        body=body,
    )


def place_of(path: Path, root: Path) -> str:
    """Return a path below the exported folder as text for messages."""
    return printable(path.relative_to(root).as_posix())


def _load(path: Path, place: str) -> object:
    if path.is_symlink() or not path.is_file():
        raise DocumentUnreadableError(f"{place} is not a regular file")
    try:
        with path.open("r", encoding="utf-8-sig") as file:
            return json.load(file, object_hook=_compact)
    except OSError as error:
        raise DocumentUnreadableError(f"{place} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DocumentUnreadableError(f"{place} is not UTF-8: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentUnreadableError(f"{place} is not valid JSON: {error}") from error


def _compact(found: dict[str, Any]) -> Any:
    """Keep a point in little memory. Points of logged models name their metric and stay as they are."""
    if "timestamp" not in found or "value" not in found or not found.keys() <= _POINT_KEYS:
        return found
    get = found.get
    values = (found["value"], found["timestamp"], get("step"), get("dataset_name"), get("dataset_digest"))
    return tuple.__new__(JsonPoint, values)  # in half the time of the constructor
