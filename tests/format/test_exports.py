"""What a manifest states of its exports: deltas of a base, redactions, compactions; and which one a time means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.compaction import parse_compacted
from mlflow_archive.format.delta import DELTA_MINOR, Delta, Elsewhere, as_delta, divided, elsewhere, joined, parse_delta
from mlflow_archive.format.earlier import AskedAt, changed_since, export_at, parse_at
from mlflow_archive.format.manifest import Export, Manifest, Member, MemberKind
from mlflow_archive.format.redaction import Redaction, parse_redaction

BASE = "ab" * 32


def export(number: int, created_ms: int = 0) -> Export:
    return Export(number=number, created_ms=created_ms, tool="t", source={}, selection={}, counts={}, gaps=0)


def member(path: str, export: int, *, kind: MemberKind = "table", size: int = 2, sha256: str = "0" * 64) -> Member:
    return Member(path=path, kind=kind, export=export, size=size, sha256=sha256)


COPY = member("manifests/0001.json", 1, kind="manifest", size=5, sha256=BASE)
OLD = Manifest(minor=1, exports=(export(1),), members=(member("a", 1), member("c", 1)))
WHOLE = Manifest(
    minor=2,
    required_features=("x",),
    exports=(export(1), export(2)),
    members=(member("a", 1), member("b", 2), member("c", 1), COPY),
)


def refusal(error: type[Exception], action: Any, *values: object) -> str:
    with pytest.raises(error) as caught:
        action(*values)
    return str(caught.value)


def test_a_manifest_is_divided_and_joined_again() -> None:
    delta = as_delta(WHOLE, OLD, BASE)
    assert delta.delta == Delta(base=BASE, export=1, minor=2)
    assert (delta.minor, delta.required_features) == (DELTA_MINOR, ("delta", "x"))
    assert ([m.path for m in delta.members], [m.path for m in delta.elsewhere]) == (
        ["b"],
        ["a", "c", "manifests/0001.json"],
    )
    assert (joined(delta), joined(WHOLE)) == (WHOLE, WHOLE)
    assert as_delta(replace(WHOLE, minor=9), OLD, BASE).minor == 9
    assert elsewhere(WHOLE) is None
    found = elsewhere(delta)
    assert found == Elsewhere(base=BASE, members=3, bytes=9)
    assert found.to_json() == {"base": BASE, "members": 3, "bytes": 9}
    assert Delta(base=BASE, export=1, minor=2).to_json() == {"base": BASE, "export": 1, "minor": 2}


def test_what_is_no_delta_of_its_base() -> None:
    for number in (2, 3):
        assert refusal(ValueError, divided, WHOLE, Delta(base=BASE, export=number, minor=2)) == (
            f"it adds nothing to export {number}: its last export is 2"
        )
    missing = f"its base is {BASE}, and manifests/0001.json is not listed with this SHA-256"
    of_base = Delta(base=BASE, export=1, minor=2)
    for copy in (
        replace(COPY, sha256="0" * 64),
        replace(COPY, export=2),
        replace(COPY, kind="text"),
        replace(COPY, path="manifests/0003.json"),
    ):
        assert refusal(ValueError, divided, replace(WHOLE, members=(copy,)), of_base) == missing
    assert divided(replace(WHOLE, members=(COPY,)), of_base).elsewhere == (COPY,)


def test_what_a_manifest_states_of_a_base() -> None:
    def stated(delta: Any, *features: str) -> dict[str, Any]:
        return {"required_features": list(features), **({} if delta == "none" else {"delta": delta})}

    sound = {"base": BASE, "export": 1, "minor": 0}
    assert parse_delta(stated("none")) is None
    assert parse_delta(stated(sound, "delta")) == Delta(base=BASE, export=1, minor=0)
    together = "the key `delta` and the required feature of that name go together, and one is missing"
    keys = "`delta` must be an object with base, export, minor, and nothing else"
    numbers = "delta.export and delta.minor must be the numbers of an export and of a version"
    no_id = "delta.base is no archive id: 64 digits of lower-case hex"
    for document, reason in (
        (stated(sound), together),
        (stated("none", "delta"), together),
        (stated([], "delta"), keys),
        (stated({**sound, "more": 1}, "delta"), keys),
        (stated({"base": BASE, "export": 1}, "delta"), keys),
        (stated({**sound, "base": BASE.upper()}, "delta"), no_id),
        (stated({**sound, "base": 7}, "delta"), no_id),
        (stated({**sound, "export": 0}, "delta"), numbers),
        (stated({**sound, "export": True}, "delta"), numbers),
        (stated({**sound, "minor": -1}, "delta"), numbers),
        (stated({**sound, "minor": "1"}, "delta"), numbers),
    ):
        assert refusal(ValueError, parse_delta, document) == reason


RULES = "cd" * 32


@pytest.mark.parametrize(
    "redaction",
    [
        Redaction(rules=RULES),
        Redaction(rules=RULES, names=("a", "b")),
        Redaction(rules=RULES, names=("a",), archive=BASE),
    ],
)
def test_a_redaction_comes_back(redaction: Redaction) -> None:
    document = redaction.to_json()
    expected = {"rules": RULES, "names": list(redaction.names)}
    assert document == (expected if redaction.archive is None else {**expected, "archive": redaction.archive})
    assert parse_redaction({"redaction": document}) == redaction
    assert parse_redaction({}) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "must be an object of rules and names, and archive where it is one's"),
        ({"more": 1}, "must be an object of rules and names, and archive where it is one's"),
        ({"names": ("a",)}, "has names that are no list of texts"),
        ({"names": [1]}, "has names that are no list of texts"),
        ({"names": "ab"}, "has names that are no list of texts"),
        ({"names": ["b", "a"]}, "has names that are not sorted, or one twice"),
        ({"names": ["a", "a"]}, "has names that are not sorted, or one twice"),
        ({"rules": RULES.upper()}, "has rules or an archive that is no SHA-256 in hex"),
        ({"rules": 1}, "has rules or an archive that is no SHA-256 in hex"),
        ({"archive": "x"}, "has rules or an archive that is no SHA-256 in hex"),
        ({"archive": None}, "has rules or an archive that is no SHA-256 in hex"),
    ],
)
def test_what_is_no_redaction(change: dict[str, Any] | None, reason: str) -> None:
    value = None if change is None else {"rules": RULES, "names": [], **change}
    must = "redaction " + reason
    assert refusal(ValueError, parse_redaction, {"redaction": value}) == must


STEP = {"archive_id": BASE, "first": 2, "number": 3, "made_ms": 0, "tool": "t"}


def test_compactions_that_an_export_went_through() -> None:
    assert parse_compacted({}) is None
    assert parse_compacted({"compacted": [STEP, {**STEP, "first": 3, "more": 1}]}) == (
        *(STEP, {**STEP, "first": 3, "more": 1}),
    )
    reason = "compacted must be a list of at least one object with archive_id, first, made_ms, number, tool"
    wrong = ({"first": 4}, {"first": 0}, {"made_ms": -1}, {"archive_id": "x"}, {"tool": 1}, {"number": True})
    values: list[Any] = [None, [], {}, [1], *([STEP, {**STEP, **change}] for change in wrong)]
    for value in values:
        assert refusal(ValueError, parse_compacted, {"compacted": value}) == reason


END = datetime(2024, 5, 1, 23, 59, 59, 999999, UTC)


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        *((3, 3), (" 12 ", 12), ("2024-05-01", END), (date(2024, 5, 1), END)),
        *(("2024-05-01T12:00:00", datetime(2024, 5, 1, 12, tzinfo=UTC)),),
        *((datetime(2024, 5, 1, 12), datetime(2024, 5, 1, 12, tzinfo=UTC)),),  # noqa: DTZ001 - without a zone it is UTC
        *(("2024-05-01T12:00+02:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),),
        *((datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2024, 4, 30, 23, tzinfo=UTC)),),
    ],
)
def test_times_and_numbers_that_are_asked_for(asked: AskedAt, at: int | datetime) -> None:
    found = parse_at(asked)
    assert found == at
    assert not isinstance(found, datetime) or found.utcoffset() is not None


@pytest.mark.parametrize("asked", ["", "12345", "yesterday", "2024-5-1", True])
def test_what_is_neither_is_refused(asked: AskedAt) -> None:
    assert refusal(SelectionError, parse_at, asked) == (
        f"{str(asked)!r} is neither the number of an export nor an ISO 8601 time such as 2024-05-01 or "
        "2024-05-01T12:30:00Z"
    )


def test_the_newest_export_of_a_time_is_meant() -> None:
    exports = [export(number, 1000 * number) for number in range(1, 4)]

    def at(seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    assert [export_at(exports, asked).number for asked in (1, 3, at(1), at(2.5), at(3), at(99))] == [1, 3, 1, 2, 3, 3]
    named = ", ".join(f"{number} (1970-01-01T00:00:0{number}Z)" for number in (1, 2, 3))
    assert refusal(SelectionError, export_at, exports, 4) == f"the archive has no export 4; it has {named}"
    assert refusal(SelectionError, export_at, exports, at(0.5)) == (
        f"the archive has no export of 1970-01-01T00:00:00+00:00 or before; it has {named}"
    )
    many = [export(number, 2**62) for number in range(1, 12)]
    for count, listed in ((10, list(range(1, 11))), (11, [1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11])):
        names = ", ".join(f"{number} ({2**62} ms)" if number else "…" for number in listed)
        assert refusal(SelectionError, export_at, many[:count], 99) == f"the archive has no export 99; it has {names}"


def test_what_the_newest_manifest_does_not_hold_any_more() -> None:
    delta = as_delta(WHOLE, OLD, BASE)
    assert (changed_since(OLD, WHOLE), changed_since(OLD, delta), changed_since(delta, WHOLE)) == (None, None, None)
    gone = replace(WHOLE, members=WHOLE.members[1:])
    other = replace(WHOLE, members=(member("a", 1, size=3), *WHOLE.members[1:]))
    rehashed = replace(WHOLE, members=(member("a", 1, sha256="1" * 64), *WHOLE.members[1:]))
    restated = replace(WHOLE, exports=(export(1, 5), export(2)))
    assert changed_since(OLD, gone) == ("a", "gone")
    assert changed_since(OLD, other) == changed_since(OLD, rehashed) == ("a", "another one now")
    assert changed_since(OLD, restated) == ("what the archive states of its exports", "another now")
