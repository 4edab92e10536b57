"""Whose failure it is: of one item, so that the others go on, or of the target, so that nothing can."""

from __future__ import annotations

from http import HTTPStatus

from mlflow_archive.errors import ItemError, MlflowArchiveError, ServerError

_UNKNOWN_HERE = frozenset({"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED"})

_OF_THE_TARGET = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_NO_ENDPOINT = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


def is_about_one_item(exc: MlflowArchiveError) -> bool:
    """Say whether only this item is refused: a 4xx, or a 500 in which MLflow itself names the error."""
    if isinstance(exc, ItemError):
        return True
    if not isinstance(exc, ServerError) or exc.status is None or exc.status in _OF_THE_TARGET:
        return False
    if exc.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return exc.error_code is not None
    return HTTPStatus.BAD_REQUEST <= exc.status < HTTPStatus.INTERNAL_SERVER_ERROR


def is_unknown_there(exc: MlflowArchiveError) -> bool:
    """Say whether the target does not know this request at all: it is older, or the feature is off."""
    if not isinstance(exc, ServerError) or exc.status is None:
        return False
    if exc.error_code is not None:
        return exc.error_code in _UNKNOWN_HERE
    return exc.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)


def executed_perhaps(exc: ServerError) -> bool:
    """Say whether the request may have been carried out although it failed: no answer, or a 5xx."""
    return exc.status is None or exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def lacks_endpoint(exc: ServerError) -> bool:
    """Say whether the target does not know the request at all, as an older server."""
    if exc.error_code is None:
        return exc.status in _NO_ENDPOINT
    return exc.error_code in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED")
