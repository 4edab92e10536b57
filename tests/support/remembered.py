"""Answers of a server that are asked for once: for many readings of what nobody changes."""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse


class RememberedAnswers(BaseAdapter):
    """A requests adapter that hands each request to another one the first time, and gives that answer ever after.

    Closing it does nothing: it serves one session after another. ``adapter`` is the caller's to close.
    """

    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        self._adapter = adapter
        self._answers: dict[object, requests.Response] = {}

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        key = request.method, request.url, request.body, request.headers.get("X-MLFLOW-WORKSPACE")
        if key not in self._answers:
            self._answers[key] = self._adapter.send(request, **options)
        first = self._answers[key]
        again = requests.Response()
        again.status_code, again.headers, again.url, again.request = (
            first.status_code,
            first.headers,
            first.url,
            request,
        )
        again.raw = HTTPResponse(body=io.BytesIO(first.content), preload_content=False, status=first.status_code)
        return again

    def close(self) -> None:
        """Keep the answers for the next session."""
