"""Lists of MLflow's API that come page by page.

A replay writes only its own objects, so no list changes under it; a list of a source may (``sources.rest.lists``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

PAGE: Final = 1000

Ask = Callable[[dict[str, Any]], Any]
"""Asks for a page; is given ``max_results`` and ``page_token``."""


def paged(ask: Ask, *, size: int = PAGE) -> Iterator[dict[str, Any]]:
    """Yield the answers page by page."""
    page = {"max_results": size}
    while True:
        answer = ask(page)
        yield answer
        token = answer.get("next_page_token")
        if not token:
            return
        page = {"max_results": size, "page_token": token}


def entries(ask: Ask, field: str, *, size: int = PAGE) -> Iterator[dict[str, Any]]:
    """Yield the entries that lie under a name of each page."""
    for answer in paged(ask, size=size):
        yield from answer.get(field, [])
