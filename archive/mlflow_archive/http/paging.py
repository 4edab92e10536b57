"""Answers that a server gives page by page, each with the token of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from mlflow_archive.errors import ServerError

Ask = Callable[[dict[str, Any]], Any]
"""Asks for a page; is given the first one's fields, and ``page_token``."""


def paged(ask: Ask, fields: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the answers page by page. Raises ServerError where a token comes a second time."""
    page = dict(fields)
    tokens: set[str] = set()
    while True:
        answer = ask(page)
        yield answer
        token = answer.get("next_page_token") if isinstance(answer, Mapping) else None
        if not token:
            return
        if str(token) in tokens:
            message = "the server gives the same page again for the one that should follow"
            raise ServerError(message, status=HTTPStatus.OK)
        tokens.add(str(token))
        page = {**fields, "page_token": token}
