"""What goes with whole runs, experiments and users, found in an archive that relates all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import ElsewhereError, SelectionError
from mlflow_archive.flow.chunk import Chunk, nothing_known
from mlflow_archive.flow.report import Quiet
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.redacting.erasing import Erased, Eraser, find_erased
from mlflow_archive.redacting.rules import RedactionRules, parse_rules
from mlflow_archive.redacting.source import RedactedSource
from mlflow_archive.selecting.selection import Selection
from tests.redacting.subjects import rows_of, write
from tests.support.chunks import artifact, chunk, experiment, pairs, run, table

GOLDEN = Path(__file__).parents[1] / "golden"
RUNS = [f"{number}a" * 16 for number in range(4)]
OTHER = "0e" * 16


def model(model_id: str, of: str | None = None, at: str = "2") -> dict[str, Any]:
    return {"model_id": model_id, "experiment_id": at, "name": "m", "status": "READY", "source_run_id": of}


def trace(trace_id: str, at: str = "2") -> dict[str, Any]:
    return {"trace_id": trace_id, "experiment_id": at, "request_time": 5, "state": "OK"}


def related() -> list[Chunk]:
    """Return runs of which the first is another's, and models and traces that refer to them in each way."""
    runs = [run(name, "2", user_id="bob") for name in RUNS]
    runs[0]["user_id"] = "eve"
    return [
        chunk(experiments=[experiment("1", "one"), experiment("2", "two")]),
        chunk(
            runs=[*runs, run(OTHER, "1", user_id="bob")],
            tags=[
                *pairs(RUNS[1], {"mlflow.user": "eve", "note": "bob"}),
                *pairs(RUNS[2], {"mlflow.user": "bob", "owner": "eve"}),
            ],
            model_outputs=[
                {"run_id": run_id, "model_id": model_id, "step": 0}
                for run_id, model_id in ((RUNS[0], "m-out"), (RUNS[2], "m-stays"))
            ],
        ),
        chunk(
            logged_models=[
                *(model("m-made", RUNS[0]), model("m-out"), model("m-stays", RUNS[2])),
                *(model("m-tagged"), model("m-in", at="1"), model("m-of-user", RUNS[1])),
            ],
            logged_model_tags=[
                {"model_id": "m-tagged", "key": "mlflow.user", "value": "eve"},
                {"model_id": "m-stays", "key": "mlflow.trace.user", "value": "bob"},
            ],
        ),
        chunk(
            traces=[
                trace(name, "1" if name == "tr-in" else "2")
                for name in ("tr-link", "tr-tag", "tr-user", "tr-meta", "tr-model", "tr-in", "tr-stays")
            ],
            trace_links=[
                {"trace_id": "tr-link", "destination_type": "run", "destination_id": RUNS[0]},
                {"trace_id": "tr-stays", "destination_type": "run", "destination_id": RUNS[2]},
            ],
            trace_tags=[
                {"trace_id": "tr-tag", "key": "mlflow.sourceRun", "value": RUNS[0]},
                {"trace_id": "tr-user", "key": "mlflow.trace.user", "value": "eve"},
                {"trace_id": "tr-stays", "key": "note", "value": RUNS[0]},
            ],
            trace_metadata=[
                {"trace_id": "tr-meta", "key": "mlflow.sourceRun", "value": RUNS[0]},
                {"trace_id": "tr-model", "key": "mlflow.modelId", "value": "m-made"},
                {"trace_id": "tr-stays", "key": "mlflow.modelId", "value": "m-stays"},
            ],
        ),
    ]


OF_FIRST = {"logged_model": {"m-made", "m-out"}, "trace": {"tr-link", "tr-tag", "tr-meta", "tr-model"}}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (RedactionRules(), Erased()),
        (
            RedactionRules(runs=(RUNS[0], "none")),
            Erased(owners={"run": {RUNS[0], "none"}, **OF_FIRST}, absent=("run none",)),
        ),
        (
            RedactionRules(users=("eve", "nobody")),
            Erased(
                owners={
                    "run": {RUNS[0], RUNS[1]},
                    "logged_model": {*OF_FIRST["logged_model"], "m-tagged", "m-of-user"},
                    "trace": {*OF_FIRST["trace"], "tr-user"},
                },
                users=frozenset({"eve", "nobody"}),
            ),
        ),
        (
            RedactionRules(experiments=("1", "3"), runs=(RUNS[3],)),
            Erased(
                owners={
                    "experiment": {"1", "3"},
                    "run": {OTHER, RUNS[3]},
                    "logged_model": {"m-in"},
                    "trace": {"tr-in"},
                },
                absent=("experiment 3",),
            ),
        ),
    ],
    ids=["nothing", "a run", "users", "experiments"],
)
def test_what_goes_with_it(tmp_path: Path, rules: RedactionRules, expected: Erased) -> None:
    with open_archive(write(tmp_path / "a", *related())) as archive:
        found = find_erased(archive, rules)
    assert found == expected


def test_ids_of_experiments_go_out_of_the_columns_that_refer_to_them() -> None:
    eraser = Eraser(Erased(owners={"experiment": {"1"}}))
    rows = [{"model_id": "m", "key": f"k{number}", "value": "v", "experiment_id": number} for number in ("1", "2")]
    found = eraser.rows(TABLES["logged_model_tags"], table("logged_model_tags", rows)).to_pylist()
    assert [(row["key"], row["experiment_id"]) for row in found] == [("k1", None), ("k2", "2")]


def test_a_source_states_what_its_archive_does(tmp_path: Path) -> None:
    facts = SourceFacts(
        kind="database",
        uri="sqlite:///x",
        mlflow_version="3.17.0",
        schema_revision="abc",
        newer_schema=True,
        extra={"tracking_uri": "http://server"},
    )
    path = write(tmp_path / "a", chunk(experiments=[experiment("1", "one")]), facts=facts)
    with open_archive(path) as archive:
        source = RedactedSource(archive, RedactionRules(experiments=("9",)))
        assert (source.facts(), source.absent, source.erased) == (facts, ("experiment 9",), {"experiment": 1})
        assert source.stated_source()["extra"] == {"tracking_uri": "http://server"}
    bare = write(tmp_path / "b", chunk(experiments=[experiment("1", "one")]), facts=SourceFacts(kind="rest", uri="u"))
    with open_archive(bare) as archive:
        assert RedactedSource(archive, RedactionRules()).facts() == SourceFacts(kind="rest", uri="u")


def test_a_delta_without_its_base_is_not_redacted() -> None:
    with open_archive(GOLDEN / "v1_4-delta.mlfa") as archive, pytest.raises(ElsewhereError, match="a redaction takes"):
        RedactedSource(archive, RedactionRules())


def test_gaps_stay_with_their_objects_and_those_of_none_come_last(tmp_path: Path) -> None:
    gap = {"owner_id": RUNS[0], "owner_kind": "run", "path": "x", "code": "G101", "reason": "of it"}
    others = [
        {**gap, "owner_id": "source", "owner_kind": "source", "path": ""},
        {**gap, "owner_id": RUNS[1]},
        {**gap, "path": "x.env"},
        {**gap, "owner_id": "never read"},
    ]
    runs = chunk(runs=[run(RUNS[0], "1"), run(RUNS[1], "1")], gaps=[gap, *others])
    path = write(tmp_path / "a", chunk(experiments=[experiment("1", "one")]), runs)
    rules = f"[[artifacts]]\npath = '*.env'\n[erase]\nruns = ['{RUNS[1]}']\n"
    with open_archive(path) as archive:
        source = RedactedSource(archive, parse_rules(rules.encode(), "r"))
        *shards, last = source.plan(Selection(), Quiet())
        found = [owner for shard in shards for chunk in source.read(shard, nothing_known) for owner in _gaps(chunk)]
        payload: Any = last.payload
        assert (found, [owner for chunk in payload() for owner in _gaps(chunk)]) == (
            [RUNS[0]],
            ["never read", "source"],
        )


def _gaps(given: Chunk) -> list[str]:
    """Return whose gaps a chunk has."""
    owners: list[str] = given.tables["gaps"]["owner_id"].to_pylist() if "gaps" in given.tables else []
    return owners


def test_two_artifacts_that_would_have_one_path_are_refused(tmp_path: Path) -> None:
    files = [artifact(RUNS[0], f"of cust-{number}/x", b"x") for number in (1, 2)]
    experiments = chunk(experiments=[experiment("1", "one")])
    old = write(tmp_path / "old", experiments, chunk(files, runs=[run(RUNS[0], "1")]))
    (tmp_path / "rules").write_text("[[values]]\nmatch = 'cust-[0-9]'\naction = 'replace'\n")
    with pytest.raises(SelectionError) as caught:
        ma.redact(old, tmp_path / "new", tmp_path / "rules")
    assert str(caught.value) == (
        f"the rules give two artifacts of run {RUNS[0]} the path of [redacted]/x: use the action pseudonym, which "
        "keeps them apart"
    )
    (tmp_path / "rules").write_text("[[artifacts]]\npath = 'of cust-1/*'\n")
    ma.redact(old, tmp_path / "new", tmp_path / "rules")
    assert [row["path"] for row in rows_of(tmp_path / "new")["artifacts"]] == ["of cust-2/x"]
