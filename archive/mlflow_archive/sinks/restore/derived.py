"""What MLflow's searches look into and no archive holds, as it follows from the rest."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import pyarrow as pa

ISSUE_CATEGORIES: Final = "issue_categories"
_COLUMNS: Final = pa.schema([(name, pa.string()) for name in ("issue_id", "category_hash", "category")])


def issue_categories(issues: pa.Table) -> pa.Table:
    """Return a row for each category of issues, by which MLflow finds them; capitals and spaces do not count."""
    rows = [
        {"issue_id": issue_id, "category_hash": category_hash, "category": category}
        for issue_id, text in zip(issues["issue_id"].to_pylist(), issues["categories"].to_pylist(), strict=True)
        for category_hash, category in {_hash(category): category for category in _categories(text)}.items()
    ]
    return pa.Table.from_pylist(rows, schema=_COLUMNS)


def _categories(text: str | None) -> list[str]:
    """Return the categories in a column, none where it is no list of texts."""
    try:
        categories: Any = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [category for category in categories if isinstance(category, str)] if isinstance(categories, list) else []


def _hash(category: str) -> str:
    return hashlib.sha256(category.strip().lower().encode("utf-8", "replace")).hexdigest()
