"""What the target refuses because it does not know the request, what is wrong with an object, and what is in doubt."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from mlflow_archive.errors import ItemError, MlflowArchiveError, ServerError
from mlflow_archive.sinks.replay.writing import failures
from mlflow_archive.sinks.replay.writing.failures import (
    came_through,
    check_one_item,
    executed_perhaps,
    exists_already,
    get_or_none,
    is_about_one_item,
    is_missing,
    is_unknown_there,
    once,
)


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (ServerError("x", status=404), True),
        (ServerError("x", status=501), True),
        (ServerError("x", status=404, error_code="ENDPOINT_NOT_FOUND"), True),
        (ServerError("x", status=400, error_code="FEATURE_DISABLED"), True),
        (ServerError("x", status=404, error_code="RESOURCE_DOES_NOT_EXIST"), False),
        (ServerError("x", status=501, error_code="INTERNAL_ERROR"), False),
        (ServerError("nobody answers"), False),
        (ItemError("x"), False),
    ],
)
def test_what_the_target_does_not_know(error: MlflowArchiveError, unknown: bool) -> None:
    assert is_unknown_there(error) == unknown


@pytest.mark.parametrize(
    ("error", "of_one"),
    [
        (ServerError("x", status=400), True),
        (ServerError("x", status=403), True),
        (ServerError("x", status=429), True),
        (ServerError("x", status=500), True),
        (ServerError("x", status=502), True),
        (ServerError("x", status=504), True),
        (ServerError("x", status=401), False),
        (ServerError("x", status=407), False),
        (ServerError("x", status=399), False),
        (ServerError("nobody answers"), False),
        (ItemError("x"), True),
        (MlflowArchiveError("x"), False),
    ],
)
def test_what_is_about_one_object(error: MlflowArchiveError, of_one: bool) -> None:
    assert is_about_one_item(error) == of_one
    with nullcontext() if of_one else pytest.raises(type(error)) as caught:
        check_one_item(error)
    assert of_one or getattr(caught, "value", None) is error


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (ServerError("x", status=400, error_code="BAD"), True),
        (ServerError("x", status=500, error_code="INTERNAL_ERROR"), True),
        (ServerError("x", status=413), True),
        (ServerError("x", status=500), False),
        (ServerError("x", status=502), False),
        (ServerError("x", status=429), False),
        (ServerError("x", status=502, error_code="BAD"), True),
        (ServerError("nobody answers"), False),
        (ServerError("nobody answers", error_code="BAD"), False),
        (ItemError("x"), True),
        (MlflowArchiveError("x"), False),
    ],
)
def test_what_the_target_itself_refused(error: MlflowArchiveError, refused: bool) -> None:
    """Only that is worth to be tried in smaller parts."""
    assert came_through(error) == refused


class _Place:
    """Where something is made; the answers to the requests are lost, or say what ``answers`` holds."""

    def __init__(self, *answers: ServerError | None) -> None:
        self.answers, self.made, self.shown_after = list(answers), 0, 1
        self.looks = 0

    def make(self) -> str:
        exists = self.made > 0
        error = self.answers.pop(0) if self.answers else None
        if error is None or error.status is None or error.status == 502:
            if exists:
                raise ServerError("there", status=400, error_code="RESOURCE_ALREADY_EXISTS")
            self.made += 1
        if error is not None:
            raise error
        return "made"

    def look(self) -> str | None:
        self.looks += 1
        return "found" if self.made and self.looks >= self.shown_after else None


@pytest.fixture
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "WAITS_AFTER_DOUBT_SECONDS", (0.0,) * 8)


LOST, REFUSED = ServerError("lost", status=502), ServerError("not now", status=503)


@pytest.mark.usefixtures("_no_waits")
@pytest.mark.parametrize(
    ("answers", "shown_after"), [((LOST,), 1), ((LOST, LOST), 2), ((LOST,), 3), ((REFUSED,) * 7, 1), ((), 1)]
)
def test_what_is_in_doubt_is_made_once(answers: tuple[ServerError, ...], shown_after: int) -> None:
    """Also where it shows late: that it exists already is then no refusal."""
    place = _Place(*answers)
    place.shown_after = shown_after
    assert once(place.make, place.look) in ("made", "found")
    assert place.made == 1


@pytest.mark.usefixtures("_no_waits")
@pytest.mark.parametrize(("error_code", "left"), [("INTERNAL_ERROR", 6), (None, 1)])
def test_an_error_that_has_a_name_is_met_three_times(error_code: str | None, left: int) -> None:
    place = _Place(*[ServerError("no", status=500, error_code=error_code)] * 9)
    with pytest.raises(ServerError, match="no"):
        once(place.make, place.look)
    assert len(place.answers) == left


@pytest.mark.usefixtures("_no_waits")
def test_what_exists_already_without_a_doubt_is_refused() -> None:
    place = _Place()
    place.made = 1
    with pytest.raises(ServerError, match="there"):
        once(place.make, place.look)


@pytest.mark.usefixtures("_no_waits")
def test_what_has_a_name_and_was_made_meanwhile_stands_for_it() -> None:
    place = _Place()
    place.made = 1
    assert once(place.make, place.look, by_name=True) == "found"
    place.shown_after = 99
    with pytest.raises(ServerError, match="there"):
        once(place.make, place.look, by_name=True)


def test_what_may_have_been_carried_out() -> None:
    answers = {None: True, 400: False, 499: False, 500: True, 599: True}
    assert {status: executed_perhaps(ServerError("x", status=status)) for status in answers} == answers


@pytest.mark.parametrize("code", ["RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "RESOURCE_CONFLICT"])
def test_names_of_what_exists_already(code: str) -> None:
    assert exists_already(ServerError("x", status=400, error_code=code))
    assert not exists_already(ServerError("x", status=400, error_code=None))
    assert not is_missing(ServerError("x", status=400, error_code=code))


class _Api:
    """Answers a GET with what it was asked for, or with an error."""

    def __init__(self, error: ServerError | None = None) -> None:
        self.error = error

    def get(self, path: str, params: object = None) -> object:
        if self.error is not None:
            raise self.error
        return path, params

    def post(self, path: str, body: object) -> object:
        raise NotImplementedError


def test_what_is_not_there_is_none_and_any_other_error_stays_one() -> None:
    found: object = get_or_none(_Api(), "runs/get", {"run_id": "a"})  # type: ignore[arg-type]
    assert found == ("runs/get", {"run_id": "a"})
    missing = ServerError("x", status=404, error_code="RESOURCE_DOES_NOT_EXIST")
    assert get_or_none(_Api(missing), "p") is None  # type: ignore[arg-type]
    other = ServerError("x", status=404, error_code="ENDPOINT_NOT_FOUND")
    with pytest.raises(ServerError) as caught:
        get_or_none(_Api(other), "p")  # type: ignore[arg-type]
    assert caught.value is other


def test_waits_grow_and_the_last_error_is_the_one_that_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    errors = [ServerError(str(number), status=502) for number in range(8)]
    left = list(errors)

    def make() -> str:
        raise left.pop(0)

    with pytest.raises(ServerError) as caught:
        once(make, lambda: None)
    assert caught.value is errors[-1]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@pytest.mark.usefixtures("_no_waits")
def test_a_refusal_without_a_doubt_is_raised_at_once() -> None:
    for error in (ServerError("x", status=400), ServerError("x", status=404, error_code="ALREADY_EXISTS")):
        place = _Place(error)
        with pytest.raises(ServerError) as caught:
            once(place.make, place.look)
        assert caught.value is error
        assert place.looks == 0
