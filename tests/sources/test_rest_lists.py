"""Lists that a server gives page by page: each row once, whatever happens meanwhile, and losses are told."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_archive.errors import ServerError
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.sources.rest.lists import Answer, Page, pages
from mlflow_archive.sources.rest.paging import page_token

TOKENS = {page_token(number): number for number in range(200)} | {page_token(10**9): 10**9}


class Server:
    """A list as MLflow's SQL store pages it: by offset, one row read ahead; ``bad`` rows refuse the whole page."""

    def __init__(
        self, rows: list[int], *, bad: Set[int] = frozenset(), change: Callable[[Server], None] | None = None
    ) -> None:
        self.rows, self.bad, self.change = list(rows), bad, change
        self.asked = 0

    def ask(self, size: int, token: str | None, *, careful: bool = False) -> Answer:
        self.asked += 1
        assert self.asked < 5000, "it does not end"
        start = TOKENS[token]
        some = self.rows[start : start + size + 1]
        if self.bad & set(some):
            raise ServerError("a row cannot be converted", status=500, error_code="INTERNAL_ERROR")
        more = page_token(start + size) if len(some) > size else None
        answer: list[Any] = [{"id": row} for row in some[:size]]
        if self.change is not None:
            self.change(self)
        return answer, more


def walk(server: Server, size: int) -> tuple[list[int], list[Page]]:
    found = list(pages(server.ask, lambda row: row["id"], size=size))
    return [row["id"] for page in found for row in page.rows], found


@given(count=st.integers(0, 60), size=st.integers(1, 25))
def test_every_row_comes_once_in_order(count: int, size: int) -> None:
    assert walk(Server(list(range(count))), size)[0] == list(range(count))


@given(count=st.integers(1, 60), size=st.integers(1, 25), new=st.integers(0, 5))
def test_rows_that_come_meanwhile_hide_no_other(count: int, size: int, new: int) -> None:
    """The newest come first, and all after them move on."""
    left = [new]

    def insert(server: Server) -> None:
        if left[0]:
            left[0] -= 1
            server.rows.insert(0, 1000 + left[0])

    found, _ = walk(Server(list(range(count)), change=insert), size)
    assert set(found) >= set(range(count))
    assert len(found) == len(set(found))


@given(count=st.integers(2, 60), size=st.integers(1, 25), data=st.data())
def test_rows_that_go_meanwhile_hide_no_other(count: int, size: int, data: st.DataObject) -> None:
    """What was deleted need not come; what was there all the time must."""
    gone = data.draw(st.lists(st.integers(0, count - 1), unique=True, max_size=5))
    left = list(gone)

    def delete(server: Server) -> None:
        if left:
            row = left.pop()
            server.rows.remove(row)

    found, _ = walk(Server(list(range(count)), change=delete), size)
    assert set(found) >= set(range(count)) - set(gone)
    assert len(found) == len(set(found))


@given(count=st.integers(2, 60), size=st.integers(1, 25), data=st.data())
def test_rows_that_cannot_be_read_cost_themselves_and_the_one_before(
    count: int, size: int, data: st.DataObject
) -> None:
    bad = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))
    found, all_pages = walk(Server(list(range(count)), bad=bad), size)
    hidden = bad | {row - 1 for row in bad if row}
    assert set(found) == set(range(count)) - hidden
    lost = {loss.place for page in all_pages for loss in page.losses}
    assert {f"row {row}" for row in bad} <= lost


def test_a_list_that_is_refused_as_a_whole_is_one_loss() -> None:
    class Broken(Server):
        def ask(self, size: int, token: str | None, *, careful: bool = False) -> Answer:
            raise ServerError("broken", status=500)

    _, [page] = walk(Broken([1]), 10)
    assert [(loss.place, loss.reason) for loss in page.losses] == [("", "broken")]


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (ServerError("x", status=404), True),
        (ServerError("x", status=405), True),
        (ServerError("x", status=501), True),
        (ServerError("x", status=501, error_code="NOT_IMPLEMENTED"), True),
        (ServerError("x", status=501, error_code="INTERNAL_ERROR"), False),
        (ServerError("x", status=400, error_code="FEATURE_DISABLED"), False),
        (ServerError("x", status=404, error_code="ENDPOINT_NOT_FOUND"), True),
        (ServerError("x", status=404, error_code="RESOURCE_DOES_NOT_EXIST"), False),
        (ServerError("x", status=403), False),
        (ServerError("x", status=500), False),
        (ServerError("x", status=400, error_code="INVALID_PARAMETER_VALUE"), False),
    ],
)
def test_what_counts_as_a_missing_endpoint(error: ServerError, lacking: bool) -> None:
    assert is_unknown_request(error) == lacking

    class Refusing(Server):
        def ask(self, size: int, token: str | None, *, careful: bool = False) -> Answer:
            raise error

    assert walk(Refusing([]), 3)[1] == [] if lacking else [page.losses for page in walk(Refusing([]), 3)[1]]


def test_a_server_that_is_gone_ends_the_walk() -> None:
    class Gone(Server):
        def ask(self, size: int, token: str | None, *, careful: bool = False) -> Answer:
            raise ServerError("nobody answers")

    with pytest.raises(ServerError, match="nobody answers"):
        walk(Gone([]), 3)


def test_tokens_of_another_making_are_followed() -> None:
    class Cursor(Server):
        def ask(self, size: int, token: str | None, *, careful: bool = False) -> Answer:
            start = 0 if token is None else int(token.removeprefix("after "))
            rows: list[Any] = [{"id": row} for row in self.rows[start : start + size]]
            return rows, f"after {start + size}" if start + size < len(self.rows) else None

    assert walk(Cursor(list(range(10))), 3)[0] == list(range(10))
