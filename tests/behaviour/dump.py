"""An archive as text, read by the conformance reader, which no change of the code changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.conformance.independent_reader import TABLES, Archive

_PLACES: Final = {"blobs"}
"""Tables of how an archive is laid out, not of what it holds."""


def dump(archive: Path, folder: Path, names: Mapping[str, str]) -> None:
    """Write each table with its rows sorted, and what the manifest says of the source; ``names`` replaces text."""
    folder.mkdir(parents=True)
    opened = Archive(archive)
    try:
        for table in sorted(TABLES.keys() - _PLACES):
            rows = sorted(
                json.dumps(row, sort_keys=True, ensure_ascii=False, default=_text) for row in opened.rows(table)
            )
            _write(folder / f"{table}.jsonl", "".join(f"{row}\n" for row in rows), names)
        exports = [_without_moment(export) for export in opened.manifest["exports"]]
        _write(folder / "exports.json", json.dumps(exports, indent=1, sort_keys=True, ensure_ascii=False), names)
        for digest in {row["digest"] for row in opened.rows("artifacts") if row["digest"]}:
            opened.blob(digest)  # which checks it
    finally:
        opened.close()


def _without_moment(export: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest says of an export, but for when it was and by which version."""
    return {key: value for key, value in export.items() if not key.endswith(("_at", "_ms")) and key != "tool"}


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _write(path: Path, text: str, names: Mapping[str, str]) -> None:
    for old, new in names.items():
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
