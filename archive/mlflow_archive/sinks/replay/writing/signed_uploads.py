"""Uploads in parts to URLs that the target signs: into the object store behind its proxy, where that takes no files."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.http.session import TrackingSession

_PARTS: Final = "/api/2.0/mlflow-artifacts/mpu/"
_PART_BYTES: Final = 10 << 20
_MOST_PARTS: Final = 10_000
_NOT_OF_FILES: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}
)


def is_refused_here(exc: ServerError) -> bool:
    """Return whether a server took no file, so that it may sign an upload of it."""
    status = exc.status
    return status is not None and HTTPStatus.BAD_REQUEST <= status < 500 and status not in _NOT_OF_FILES


def put_in_parts(session: TrackingSession, path: str, data: BinaryIO, size: int, refused: ServerError) -> None:
    """Upload a file in parts to where the server's proxy would put it.

    Raises ``refused``, for which the server did not take it itself, where it signs nothing either.
    """
    folder, _, name = path.rpartition("/")
    place = quote(folder)
    part_bytes = max(_PART_BYTES, -(-size // _MOST_PARTS))
    numbers = max(1, -(-size // part_bytes))
    try:
        upload = session.post(f"{_PARTS}create/{place}", {"path": name, "num_parts": numbers}, refusals_are_final=True)
        credentials, upload_id = list(upload["credentials"]), upload.get("upload_id", "")
    except (ServerError, KeyError, TypeError):
        raise refused from None
    body: dict[str, Any] = {"path": name, "upload_id": upload_id}
    try:
        body["parts"] = list(_sent(session, credentials, data, size, part_bytes))
        session.post(f"{_PARTS}complete/{place}", body)
    except (ServerError, KeyError) as exc:
        message = f"{refused}; nor did an upload by the URLs that it signs end well: {exc}"
        try:
            session.post(f"{_PARTS}abort/{place}", {"path": name, "upload_id": upload_id}, refusals_are_final=True)
        except ServerError as second:
            message += f"; what came of it may lie in its store still: {second}"
        raise ItemError(message) from exc


def _sent(
    session: TrackingSession, credentials: list[dict[str, Any]], data: BinaryIO, size: int, part_bytes: int
) -> Iterator[dict[str, Any]]:
    """Send the parts, and yield what to say of each in the end."""
    for number, credential in enumerate(credentials):
        length = min(part_bytes, size - number * part_bytes)
        etag = session.upload_signed(credential["url"], credential.get("headers") or {}, data, length)
        yield {"part_number": credential["part_number"], "etag": etag, "url": credential["url"]}
