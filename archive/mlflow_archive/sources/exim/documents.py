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

POINT_KEYS = frozenset({"value", "timestamp", "step", "model_id", "dataset_name", "dataset_digest", "run_id"})


class DocumentUnreadableError(ValueError):
    """A document is missing, is not JSON or has another shape; the message says which, and where it lies."""


class JsonPoint(NamedTuple):
    """A point of a run's metric with the values of the document; None where it has none."""

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
        seconds = self.system.get("export_time")
        return int(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e11 else 0


def read_document(path: Path, root: Path) -> Document:
    """Read a document; points of metrics come as JsonPoint, as a run may have a million of them.

    Raises DocumentUnreadableError.
    """
    place = place_of(path, root)
    content = _load(path, place)
    if not isinstance(content, dict):
        raise DocumentUnreadableError(f"{place} holds no JSON object")
    body = content.get("mlflow")
    if not isinstance(body, dict):
        raise DocumentUnreadableError(f"{place} has no part `mlflow`, which every document of mlflow-export-import has")
    system, info = content.get("system"), content.get("info")
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


def _compact(content: dict[str, Any]) -> Any:
    """Keep a point in little memory. Points of logged models name their metric and stay as they are."""
    if "timestamp" not in content or "value" not in content or not content.keys() <= POINT_KEYS:
        return content
    get = content.get
    values = (content["value"], content["timestamp"], get("step"), get("dataset_name"), get("dataset_digest"))
    return tuple.__new__(JsonPoint, values)  # in half the time of the constructor
