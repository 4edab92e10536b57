"""Why an object stays, the first reason of each; ages as people say them; and what is alike, at the edges."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, RUN, TABLES, TRACE
from mlflow_archive.retiring.age import before_ms
from mlflow_archive.retiring.contents import RowSums, different, tables_of
from mlflow_archive.retiring.judging import Judge, Rules, Stay, milliseconds
from mlflow_archive.retiring.kept import KeptEntities, KeptEntity
from mlflow_archive.retiring.reading import SourceEntity
from mlflow_archive.retiring.site import Foundation
from tests.support.chunks import table

ENDED = datetime(2024, 5, 1, 12, tzinfo=UTC)
ENDED_MS = 1_714_564_800_000
EXPERIMENT_ROW = {"experiment_id": "1", "name": "churn", "creation_time": ENDED, "workspace": None}
SUMS = {"runs": (1, 7), "metrics": (3, 9)}
ROW = {"lifecycle_stage": "active", "status": "FINISHED", "end_time": ENDED, "experiment_id": "1"}
KEPT = KeptEntity(row=ROW, sums=SUMS, has_gaps=False)


class OneExperiment:
    """An archive in which there is one experiment."""

    def is_same_experiment(self, row: Mapping[str, Any]) -> bool:
        return row == EXPERIMENT_ROW


def entity(**changes: Any) -> SourceEntity:
    facts: dict[str, Any] = {
        "kind": RUN,
        "id": "a",
        "row": ROW,
        "experiment": EXPERIMENT_ROW,
        "sums": dict(SUMS),
        "archived": KEPT,
        "gap": "",
        "holder": "",
    }
    return SourceEntity(**{**facts, **changes})


def judged(
    subject: SourceEntity,
    rules: Rules = Rules(),  # noqa: B008 - frozen
    *,
    runs: frozenset[str] = frozenset(),
    models: frozenset[str] = frozenset(),
    assessed: frozenset[str] = frozenset(),
    going: frozenset[str] = frozenset(),
) -> tuple[str, str] | None:
    judge = Judge(
        kept_entities=cast("KeptEntities", OneExperiment()),
        rules=rules,
        foundation=Foundation(runs=runs, logged_models=models),
        entangled={"run": assessed},
        going=going,
    )
    stay = judge(subject)
    return None if stay is None else (stay.reason, stay.code)


def test_what_the_archive_holds_as_it_is_may_go() -> None:
    assert judged(entity()) is None
    assert judged(entity(kind=LOGGED_MODEL, row={"lifecycle_stage": "active"})) is None


OTHER_EXPERIMENT = "its experiment has another name or time of creation than in the archive"


@pytest.mark.parametrize(
    ("changes", "reason", "code"),
    [
        ({"archived": None, "gap": "x"}, "the archive does not hold it", "R501"),
        (
            {"archived": KeptEntity(row=ROW, sums=SUMS, has_gaps=True), "gap": "x"},
            "the archive has a gap of it, so that not all is kept",
            "R501",
        ),
        ({"gap": "model: gone", "experiment": None}, "it cannot be read whole: model: gone", "R503"),
        ({"experiment": None, "sums": {}}, OTHER_EXPERIMENT, "R502"),
        ({"experiment": {**EXPERIMENT_ROW, "name": "other"}, "sums": {}}, OTHER_EXPERIMENT, "R502"),
        (
            {"sums": {"runs": (1, 8), "tags": (1, 1), "metrics": (3, 9)}, "holder": "x"},
            "it is not as the archive holds it: runs, tags",
            "R502",
        ),
        (
            {"archived": KeptEntity(row={**ROW, "lifecycle_stage": "deleted"}, sums=SUMS, has_gaps=False)},
            "it is not as the archive holds it: stage (deleted in the archive)",
            "R502",
        ),
        ({"holder": "experiment 1", "row": {**ROW, "status": "RUNNING"}}, None, ""),
        ({"row": {**ROW, "status": "RUNNING"}}, "its status is RUNNING, so that it may still be written to", ""),
        ({"row": {**ROW, "status": "SCHEDULED"}}, "its status is SCHEDULED, so that it may still be written to", ""),
    ],
    ids=[
        *("not kept", "a gap", "unread", "no experiment", "another experiment", "other rows", "deleted there", "held"),
        *("running", "scheduled"),
    ],
)
def test_the_first_reason_why_it_stays(changes: dict[str, Any], reason: str | None, code: str) -> None:
    expected = reason or "the experiment 1 has the tag mlflow_archive.hold"
    assert judged(entity(**changes)) == (expected, code)


def test_what_is_deleted_on_both_sides_or_only_at_the_source_is_no_change_of_its_contents() -> None:
    deleted = {**ROW, "lifecycle_stage": "deleted"}
    assert judged(entity(row=deleted)) is None
    assert judged(entity(row=deleted, archived=KeptEntity(row=deleted, sums=SUMS, has_gaps=False))) is None


def test_what_ended_at_the_moment_that_was_asked_for_stays() -> None:
    later = ("it ended, or was made, later than was asked for", "")
    model = entity(kind=LOGGED_MODEL, row={**ROW, "end_time": None, "creation_timestamp": ENDED})
    for subject in (entity(), model):
        assert judged(subject, Rules(before_ms=ENDED_MS)) == later
        assert judged(subject, Rules(before_ms=ENDED_MS - 1)) == later
        assert judged(subject, Rules(before_ms=ENDED_MS + 1)) is None
    unknown = ("it has no time at which it ended, so that its age is not known", "")
    assert judged(entity(row={**ROW, "end_time": None}), Rules(before_ms=0)) == unknown
    assert judged(entity(row={**ROW, "end_time": None})) is None
    trace = entity(kind=TRACE, row={"state": "OK", "request_time": ENDED, "execution_duration_ms": 5})
    assert [judged(trace, Rules(before_ms=ENDED_MS + late)) for late in (5, 6)] == [later, None]
    going_on = entity(kind=TRACE, row={**trace.row, "state": "IN_PROGRESS"})
    assert judged(going_on) == ("its status is IN_PROGRESS, so that it may still be written to", "")
    assert judged(entity(kind=LOGGED_MODEL, row={**ROW, "status": "RUNNING"})) is None
    assert (milliseconds(ENDED), milliseconds(ENDED + timedelta(microseconds=1999))) == (ENDED_MS, ENDED_MS + 1)


def test_what_others_stand_on_stays() -> None:
    a, stands = frozenset({"a"}), ("a version of a registered model stands on it", "")
    model = entity(kind=LOGGED_MODEL)
    assert (judged(entity(), runs=a), judged(entity(), models=a)) == (stands, None)
    assert (judged(model, runs=a), judged(model, models=a)) == (None, stands)
    assert judged(entity(), Rules(with_versions=True), runs=a) is None
    reason = "with it MLflow would delete assessments that it made, for good; retire it from the database"
    assert (judged(entity(), assessed=a), judged(model, assessed=a)) == ((reason, "R504"), None)
    made = entity(kind=LOGGED_MODEL, row={**ROW, "source_run_id": "b"})
    assert judged(made) == ("the run b that made it stays", "")
    assert (judged(made, going=frozenset({"b"})), judged(entity(row={**ROW, "source_run_id": "b"}))) == (None, None)
    assert Stay(reason="x").code == ""


@pytest.mark.parametrize(
    ("age", "moment"),
    [
        ("12h", datetime(2026, 3, 30, 20, tzinfo=UTC)),
        ("0d", datetime(2026, 3, 31, 8, tzinfo=UTC)),
        (" 3 d ", datetime(2026, 3, 28, 8, tzinfo=UTC)),
        ("2w", datetime(2026, 3, 17, 8, tzinfo=UTC)),
        ("1mo", datetime(2026, 2, 28, 8, tzinfo=UTC)),
        ("3mo", datetime(2025, 12, 31, 8, tzinfo=UTC)),
        ("12mo", datetime(2025, 3, 31, 8, tzinfo=UTC)),
        ("25mo", datetime(2024, 2, 29, 8, tzinfo=UTC)),
        ("1y", datetime(2025, 3, 31, 8, tzinfo=UTC)),
        ("2025y", datetime(1, 3, 31, 8, tzinfo=UTC)),
    ],
)
def test_the_moment_an_age_ago(age: str, moment: datetime) -> None:
    assert before_ms(age, datetime(2026, 3, 31, 8, tzinfo=UTC)) == milliseconds(moment)


@pytest.mark.parametrize(
    ("age", "sentence"),
    [
        *((age, f"{age!r} is no age such as 12h, 90d, 6w, 18mo or 10y") for age in ("", "3", "d", "-1d", "1.5d", "1m")),
        *((age, f"{age!r} lies before the calendar") for age in ("2026y", "999999d", "999999mo")),
        ("1234567h", "'1234567h' is no age such as 12h, 90d, 6w, 18mo or 10y"),
    ],
)
def test_what_is_no_age(age: str, sentence: str) -> None:
    with pytest.raises(SelectionError) as caught:
        before_ms(age, datetime(2026, 3, 31, 8, tzinfo=UTC))
    assert str(caught.value) == sentence


def tags(*rows: tuple[str, str, str]) -> Any:
    return table("tags", [{"run_id": run, "key": key, "value": value} for run, key, value in rows])


def test_sums_are_of_the_rows_whatever_their_order_and_of_each_object() -> None:
    one, other = RowSums(RUN), RowSums(RUN)
    one.add("tags", tags(("a", "x", "1"), ("a", "y", "2"), ("b", "x", "1")))
    other.add("tags", tags(("b", "x", "1"), ("a", "y", "2")))
    assert different(one.of("a"), other.of("a")) == ["tags"]
    other.add("tags", tags(("a", "x", "1")))
    assert one.of("a") == other.of("a")
    assert {name: number for name, (number, _) in one.of("a").items()} == {"tags": 2}
    assert (one.of("b") != one.of("a"), one.of("none"), different(one.of("b"), other.of("b"))) == (True, {}, [])
    twice = RowSums(RUN)
    twice.add("tags", tags(("a", "x", "1"), ("a", "x", "1")))
    assert twice.of("a")["tags"] == (2, 2 * one.of("b")["tags"][1] % 2**256) or twice.of("a") != one.of("b")
    with_others = RowSums(RUN)
    with_others.add("experiment_tags", table("experiment_tags", [{"experiment_id": "1", "key": "k", "value": "v"}]))
    assert with_others.of("1") == {}


def test_a_soft_delete_and_hidden_columns_do_not_count_and_times_do() -> None:
    def sums(hidden: tuple[str, ...] = (), **changes: Any) -> Any:
        contents = RowSums(RUN, hidden)
        row = {"run_id": "a", "experiment_id": "1", "lifecycle_stage": "active", "start_time": 1_000, **changes}
        contents.add("runs", table("runs", [row]))
        return contents.of("a")

    assert sums() == sums(lifecycle_stage="deleted", deleted_time=5)
    assert different(sums(), sums(start_time=1_001)) == ["runs"]
    assert different(sums(), sums(source_name="x")) == ["runs"]
    assert sums(("runs.source_name",)) == sums(("runs.source_name",), source_name="x")


def test_a_file_that_was_read_is_as_its_row() -> None:
    row = {"owner_kind": RUN, "owner_id": "a", "path": "x", "size": 3, "digest": "d" * 64}
    rows, files = RowSums(RUN), RowSums(RUN)
    rows.add("artifacts", table("artifacts", [row]))
    files.add_file(RUN, "a", "x", 3, "d" * 64)
    assert rows.of("a") == files.of("a")
    names = [own.name for own in tables_of(RUN)]
    assert {"runs", "metrics", "artifacts"} <= set(names)
    assert not {"gaps", "fingerprints", "experiments"} & set(names)
    assert [own.name for own in tables_of(EXPERIMENT)] == [
        name for name in TABLES if TABLES[name].entity == EXPERIMENT or name in ("artifacts", *_by_row())
    ]


def _by_row() -> list[str]:
    return [name for name, own in TABLES.items() if own.entity == TABLES["gaps"].entity and name not in _OF_READING]


_OF_READING = ("gaps", "fingerprints")
