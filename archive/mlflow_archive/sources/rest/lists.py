"""Lists of objects that a server gives page by page, whole although it is being written to or cannot answer for some.

MLflow pages by OFFSET (see ``paging``; ``runs.paging`` does for runs what this module does for all others): each page
starts with the last row already seen, and rows are distinguished by their id. Pages that the server refuses are halved
down to single rows, so that one row it cannot convert costs that row only. An endpoint that does not exist is an
empty list: that server has no such objects.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol

from mlflow_archive.errors import ServerError
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sources.rest.answers import NEXT, Asker, note_unread
from mlflow_archive.sources.rest.cells import Json
from mlflow_archive.sources.rest.paging import PageWalk, page_token

PROMPTS: Final = "tags.`mlflow.prompt.is_prompt` = 'true'"
"""The filter with which searches of the registry find prompts, which they leave out otherwise."""

_BEYOND_ALL: Final = 10**9

Answer = tuple[list[Json], str | None]
"""Some rows, and the token of the page that follows."""


class Ask(Protocol):
    """Asks for some rows of a list. ``careful`` says that a refusal is expected and is not waited for."""

    def __call__(self, size: int, token: str | None, *, careful: bool = False) -> Answer: ...


IdOf = Callable[[Json], object]
TokenOf = Callable[[int], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Something of a list that could not be read; ``place`` is empty where it is the whole list."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows as the server's JSON, each once, and what could not be read where they were looked for."""

    rows: list[Json] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


def rows_of(session: TrackingSession, answer: Any, name: str) -> list[Json]:
    """Return the rows under a name of an answer. Raises ServerError where they have another shape."""
    rows = answer.get(name, []) if isinstance(answer, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ServerError(
            f"{session.uri} answers a list of {name} in an unexpected shape; is it an MLflow server?", status=200
        )
    return rows


def asking(asker: Asker, kind: str, path: str, name: str, /, **params: Any) -> Ask:
    """Return how to ask for a list by GET; ``kind`` is that of the objects, or of what has them."""

    def ask(size: int, token: str | None, *, careful: bool = False) -> Answer:
        paging = {"max_results": size, "page_token": token}
        answer = asker.session.get(path, {**params, **paging}, refusals_are_final=careful)
        return _answered(asker, kind, path, answer, name)

    return ask


def posting(asker: Asker, kind: str, path: str, name: str, /, **body: Any) -> Ask:
    """Return how to ask for a list by POST; ``kind`` as for ``asking``."""

    def ask(size: int, token: str | None, *, careful: bool = False) -> Answer:
        paging = {"max_results": size, **({"page_token": token} if token else {})}
        answer = asker.session.post(path, {**body, **paging}, refusals_are_final=careful)
        return _answered(asker, kind, path, answer, name)

    return ask


def _answered(asker: Asker, kind: str, path: str, answer: Any, name: str) -> Answer:
    rows = rows_of(asker.session, answer, name)
    note_unread(asker, kind, path, answer, name, NEXT)
    return rows, answer.get(NEXT) or None


def if_understood(ask: Ask) -> Ask:
    """Return an Ask for which a filter that the server does not understand finds nothing."""

    def asked(size: int, token: str | None, *, careful: bool = False) -> Answer:
        try:
            return ask(size, token, careful=careful)
        except ServerError as exc:
            if exc.status != HTTPStatus.BAD_REQUEST:
                raise
            return [], None

    return asked


def all_at_once(asker: Asker, kind: str, path: str, name: str, /, **params: Any) -> Iterator[Page]:
    """Yield a list that the server gives in one piece; ``kind`` as for ``asking``."""
    try:
        answer = asker.session.get(path, params)
        rows = rows_of(asker.session, answer, name)
        note_unread(asker, kind, path, answer, name)
    except ServerError as exc:
        if exc.status is None:
            raise
        if not is_unknown_request(exc):
            yield Page(losses=[Loss(place="", reason=str(exc))])
        return
    if rows:
        yield Page(rows=rows)


def pages(ask: Ask, id_of: IdOf | str, *, size: int, token_of: TokenOf = page_token) -> Iterator[Page]:
    """Yield all pages of a list. ``token_of`` makes the token with which the server goes on after some rows.

    ``id_of`` returns the id of a row, or is the field that has it.

    Raises ServerError where nobody answers any more.
    """
    # Two rows at least: a page of one cannot start with a row already seen, and would pass over rows as others go.
    get_id = (lambda row: row.get(id_of)) if isinstance(id_of, str) else id_of
    return _Walk(ask, get_id, token_of).pages(max(2, size))


class _Walk:
    """One walk over a list; remembers which rows came."""

    def __init__(self, ask: Ask, id_of: IdOf, token_of: TokenOf) -> None:
        self._ask, self._id_of, self._token_of = ask, id_of, token_of
        self._seen_ids: set[object] = set()

    def pages(self, size: int) -> Iterator[Page]:
        walk = PageWalk()
        while True:
            try:
                rows, following = self._ask(size, walk.token or self._token_of(walk.start))
            except ServerError as exc:
                if exc.status is None:
                    raise
                if is_unknown_request(exc) and not self._seen_ids:
                    return
                is_final = walk.token is not None or exc.status < HTTPStatus.INTERNAL_SERVER_ERROR
                if is_final or self._refuses_all():
                    yield Page(losses=[Loss(place="", reason=str(exc))])
                    return
                if not (yield from self._cut(walk.start, size)):
                    return
                walk.skip(size)
                continue
            ids = [self._id_of(row) for row in rows]
            if walk.looks_back(seen=bool(ids) and ids[0] in self._seen_ids):
                continue
            fresh = yield from self._fresh(rows)
            try:
                if not walk.goes_on(ids, following, fresh=fresh):
                    return
            except ServerError as exc:
                yield Page(losses=[Loss(place="", reason=str(exc))])
                return

    def _fresh(self, rows: list[Json]) -> Generator[Page, None, bool]:
        """Yield what comes for the first time; return whether there was any."""
        fresh = {self._id_of(row): row for row in rows if self._id_of(row) not in self._seen_ids}
        self._seen_ids.update(fresh)
        if fresh:
            yield Page(rows=list(fresh.values()))
        return bool(fresh)

    def _cut(self, start: int, size: int) -> Generator[Page, None, bool]:
        """Yield what can be read of a refused page; return whether more may follow it."""
        may_follow = True
        for begin, part in ((start, size // 2), (start + size // 2, size - size // 2)):
            if not part or not may_follow:
                continue
            try:
                rows, following = self._ask(part, self._token_of(begin), careful=part > 1)
            except ServerError as exc:
                if exc.status is None:
                    raise
                if part > 1:
                    may_follow = yield from self._cut(begin, part)
                else:
                    yield Page(losses=[Loss(place=f"row {begin}", reason=str(exc))])
            else:
                may_follow = bool(following)
                yield from self._fresh(rows)
        return may_follow

    def _refuses_all(self) -> bool:
        """Return whether even an empty page is refused."""
        try:
            self._ask(1, self._token_of(_BEYOND_ALL), careful=True)
        except ServerError as exc:
            if exc.status is None:
                raise
            return True
        return False
