"""Receipts of imports and restores, read for what they say; those of an import that was repeated count together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Report
from mlflow_archive.reader.archive import Archive

Document = Mapping[str, Any]
ReceiptPlace = Report | Document | str | os.PathLike[str]
"""A receipt itself, the report that holds it, or the file it is in."""


def read_receipts(receipts: ReceiptPlace | Sequence[ReceiptPlace] | None, archive: Archive) -> Document:
    """Return the receipts of the imports of an archive as one: of ids the last says what is so, refusals are of all.

    Raises SelectionError for what is no receipt of an import of this archive.
    """
    places = _listed(receipts)
    documents = [_document(place) for place in places]
    for document in documents:
        _check(document, archive)
    if not documents:
        return {}
    merged: dict[str, Any] = dict(documents[-1])
    merged["refusals"] = [refusal for document in documents for refusal in document.get("refusals", ())]
    for name in ("experiments", "runs"):
        merged[name] = _joined(document.get(name, {}) for document in documents)
    kinds = dict.fromkeys(kind for document in documents for kind in document.get("ids", {}))
    merged["ids"] = {kind: _joined(document.get("ids", {}).get(kind, {}) for document in documents) for kind in kinds}
    if any(document.get("selection", {}) != merged.get("selection", {}) for document in documents):
        merged["selection"] = {}
    return merged


def _listed(receipts: ReceiptPlace | Sequence[ReceiptPlace] | None) -> list[ReceiptPlace]:
    if receipts is None:
        return []
    return [receipts] if isinstance(receipts, Report | Mapping | str | os.PathLike) else list(receipts)


def _document(place: ReceiptPlace) -> Document:
    if isinstance(place, Report):
        return {"counts": place.counts, **place.details}
    return place if isinstance(place, Mapping) else _read(Path(place))


def _joined(ids: Iterable[Mapping[str, str | None]]) -> dict[str, str | None]:
    joined: dict[str, str | None] = {}
    for pairs in ids:
        joined.update(
            {source: target for source, target in pairs.items() if target is not None or source not in joined}
        )
    return joined


def _check(document: Document, archive: Archive) -> None:
    if document.get("archive_id", archive.id) != archive.id:
        raise SelectionError(f"the receipt is of the archive {document['archive_id']}, this one is {archive.id}")
    if document.get("dry_run"):
        raise SelectionError("the receipt is of a dry run, which has written nothing")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise SelectionError(f"{path} is not the receipt of an import or restore: {exc}") from exc
    if not isinstance(document, dict) or not isinstance(document.get("counts"), dict):
        raise SelectionError(f"{path} is not the receipt of an import or restore")
    return document
