"""Lists of MLflow's API that come page by page.

A replay writes only its own objects, so no list changes under it; a list of a source may (``sources.rest.lists``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlflow_archive.http import paging
from mlflow_archive.http.paging import Ask

PAGE: Final = 1000


def paged(ask: Ask, *, size: int = PAGE) -> Iterator[dict[str, Any]]:
    """Yield the answers page by page; raises ServerError where that does not end."""
    return paging.paged(ask, {"max_results": size})


def entries(ask: Ask, field: str, *, size: int = PAGE) -> Iterator[dict[str, Any]]:
    """Yield the entries that lie under a name of each page."""
    for answer in paged(ask, size=size):
        yield from answer.get(field, [])
