"""Whose failure it is: of one item, so that the others go on, or of the target, so that nothing can."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

from mlflow_archive.errors import ItemError, MlflowArchiveError, ServerError
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.http.retry import TRANSIENT_STATUS
from mlflow_archive.http.session import Params
from mlflow_archive.sinks.replay.target.target import Api

WAITS_AFTER_DOUBT_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)

_OF_THE_TARGET = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})

_TRIES_OF_NAMED: Final = 3
_EXISTS: Final = frozenset({"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "RESOURCE_CONFLICT"})

_T = TypeVar("_T")


def is_about_one_item(exc: MlflowArchiveError) -> bool:
    """Return whether only this item is refused: any answer but one about who asks, as a session finds out the rest.

    After some failures in a row a ``TrackingSession`` looks whether anything gets through, and raises without status
    where nothing does.
    """
    if isinstance(exc, ItemError):
        return True
    if not isinstance(exc, ServerError) or exc.status is None or exc.status in _OF_THE_TARGET:
        return False
    return exc.status >= HTTPStatus.BAD_REQUEST


def check_one_item(exc: MlflowArchiveError) -> None:
    """Raise a failure again that is not about one item alone."""
    if not is_about_one_item(exc):
        raise exc


def came_through(exc: MlflowArchiveError) -> bool:
    """Return whether the target itself refused, so that less of the same may be taken: not something on the way."""
    if not isinstance(exc, ServerError) or exc.status is None:
        return isinstance(exc, ItemError)
    return exc.error_code is not None or exc.status not in TRANSIENT_STATUS


def is_unknown_there(exc: MlflowArchiveError) -> bool:
    """Return whether the target does not know this request at all: it is older, or the feature is off."""
    if not isinstance(exc, ServerError) or exc.status is None:
        return False
    return exc.error_code == "FEATURE_DISABLED" or is_unknown_request(exc)


def executed_perhaps(exc: ServerError) -> bool:
    """Return whether the request may have been carried out although it failed: no answer, or a 5xx."""
    return exc.status is None or exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def is_missing(exc: ServerError) -> bool:
    """Return whether MLflow reports that the object does not exist."""
    return exc.error_code == "RESOURCE_DOES_NOT_EXIST"


def get_or_none(api: Api, path: str, params: Params | None = None) -> Any:
    """GET something by name or id; None where the target knows such things but does not have this one."""
    try:
        return api.get(path, params)
    except ServerError as exc:
        if not is_missing(exc):
            raise
        return None


def exists_already(exc: ServerError) -> bool:
    """Return whether MLflow reports that there is such an object."""
    return exc.error_code in _EXISTS


def once(make: Callable[[], _T], look: Callable[[], _T | None], *, by_name: bool = False) -> _T:
    """Return what ``make`` makes; where it is in doubt whether it did, what ``look`` finds, or make it again.

    That it "exists already" after a doubt means that it was made; with ``by_name`` what somebody else has made
    meanwhile stands for it, too. An error that MLflow names is likely to stay, so it is met a few times only.
    """
    doubt: ServerError | None = None
    for tries, wait in enumerate(WAITS_AFTER_DOUBT_SECONDS, start=1):
        try:
            return make()
        except ServerError as exc:
            if by_name and doubt is None and exists_already(exc) and (existing := look()) is not None:
                return existing
            if not (doubt is not None and exists_already(exc)) and not executed_perhaps(exc):
                raise
            doubt = exc
        # The server may still be at it, so it gets a moment before it is asked.
        time.sleep(wait)
        existing = look()
        if existing is not None:
            return existing
        if doubt.error_code is not None and tries >= _TRIES_OF_NAMED:
            break
    raise doubt or ItemError("it was not tried")
