"""What was taken out is in no byte of the new archive, decompressed or not; nor is a digest of what held it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mlflow_archive as ma
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from tests.redacting.subjects import MARK, every_byte, planted, write
from tests.support.chunks import artifact, chunk, experiment, pairs
from tests.support.chunks import run as run_row

FACTS = SourceFacts(kind="rest", uri=f"http://{MARK}host", extra={"tracking_uri": f"http://{MARK}extra"})


def members_with(path: Path, *texts: str) -> set[tuple[str, str]]:
    sought = [(text, text.encode()) for text in texts]
    return {(name, text) for name, data in every_byte(path) for text, found in sought if found in data}


def rules(path: Path, text: str) -> Path:
    (path / "rules.toml").write_text(text)
    (path / "key").write_text("0123456789abcdef")
    return path / "rules.toml"


def test_a_text_of_every_column(tmp_path: Path) -> None:
    """One rule for all places: every table, artifact paths, gaps, the manifest's source and selection; both forms."""
    old = write(tmp_path / "old", *planted(), facts=FACTS, selection=Selection(filter_string=f"x = '{MARK}'"))
    of_columns = {f"{MARK}{table.name}.{column.name}" for table in TABLES.values() for column in table.columns}
    assert len({text for _, text in members_with(old, *of_columns)}) > 150
    file = rules(tmp_path, f"[[values]]\nmatch = '{MARK}[a-z_.]*'\naction = 'pseudonym'\n")
    for name in ("new", "new.mlfa"):
        report = ma.redact(old, tmp_path / name, file, key_file=tmp_path / "key")
        assert members_with(tmp_path / name, MARK, MARK.upper()) == set()
        assert report.counts == _counts(old)
    assert ma.verify(tmp_path / "new.mlfa").problems == []


def _counts(path: Path) -> dict[str, int]:
    with open_archive(path) as archive:
        return dict(archive.newest_export.counts)


ALICE, BOB = "0a" * 16, "0b" * 16
SECRET, NOTE = b"alice's own file", b"a file of bob"


def two_people(path: Path) -> Path:
    """Write runs of two people; that of one is named all over that of the other."""
    alice = chunk(
        [artifact(ALICE, "own.txt", SECRET)],
        runs=[run_row(ALICE, "1", user_id="alice")],
        params=pairs(ALICE, {"lr": "0.1"}),
    )
    bob = chunk(
        [artifact(BOB, "note.txt", NOTE), artifact(BOB, "home/alice/x.env", b"TOKEN=1")],
        runs=[run_row(BOB, "2", user_id="bob", source_name="/home/alice/train.py")],
        params=pairs(BOB, {"from": f"runs:/{ALICE}/model", "lr": "0.2"}),
        tags=pairs(BOB, {"mlflow.parentRunId": ALICE, "mlflow.note.content": "thanks, alice!", "malice": "no"}),
        model_inputs=[{"run_id": BOB, "model_id": "m-" + "0a" * 16, "step": 0}],
    )
    models = chunk(
        logged_models=[
            {
                "model_id": "m-" + "0a" * 16,
                "experiment_id": "1",
                "name": "net",
                "status": "READY",
                "source_run_id": ALICE,
                "creation_timestamp": 1,
                "last_updated_timestamp": 2,
            }
        ]
    )
    registry = chunk(
        registered_models=[{"name": "churn", "workspace": "default"}],
        model_versions=[
            {
                "name": "churn",
                "workspace": "default",
                "version": 1,
                "user_id": "alice",
                "run_id": ALICE,
                "source": f"runs:/{ALICE}/model",
                "description": f"see {ALICE} of alice",
            }
        ],
    )
    experiments = chunk(
        experiments=[experiment("1", "alices"), experiment("2", "bobs")],
        experiment_tags=[{"experiment_id": "2", "key": "owner", "value": "alice, bob"}],
    )
    facts = SourceFacts(kind="mlruns", uri="file:///home/alice/mlruns")
    return write(path, experiments, alice, bob, models, registry, facts=facts, selection=Selection(runs=(ALICE, BOB)))


def test_a_person_goes_with_all_that_names_them(tmp_path: Path) -> None:
    old = two_people(tmp_path / "old.mlfa")
    file = rules(tmp_path, "[erase]\nusers = ['alice', 'nobody']\n[[artifacts]]\npath = '*.env'\n")
    report = ma.redact(old, tmp_path / "new.mlfa", file)
    assert (report.details["erased"], report.details["not_there"]) == ({"logged_model": 1, "run": 1}, [])
    assert (
        members_with(tmp_path / "new.mlfa", ALICE, SECRET.decode(), hashlib.sha256(SECRET).hexdigest(), "TOKEN=1")
        == set()
    )
    assert {name for name, text in members_with(tmp_path / "new.mlfa", "alice") if text == "alice"} <= _of_other_words(
        tmp_path / "new.mlfa"
    )
    with open_archive(tmp_path / "new.mlfa") as archive:
        rows = {name: archive.table(name).to_pylist() for name in TABLES if name != "blobs"}
        stated = archive.newest_export
    [run] = rows["runs"]
    assert (run["run_id"], run["user_id"], run["source_name"]) == (BOB, "bob", "/home/[redacted]/train.py")
    assert rows["params"] == pairs(BOB, {"lr": "0.2"})
    assert rows["tags"] == pairs(BOB, {"malice": "no", "mlflow.note.content": "thanks, [redacted]!"})
    assert rows["model_inputs"] == rows["logged_models"] == []
    [version] = rows["model_versions"]
    known = {name: version[name] for name in ("user_id", "run_id", "source", "description")}
    assert known == {
        "user_id": "[redacted]",
        "run_id": None,
        "source": None,
        "description": "see [redacted] of [redacted]",
    }
    assert [row["value"] for row in rows["experiment_tags"]] == ["[redacted], bob"]
    assert [row["path"] for row in rows["artifacts"]] == ["note.txt"]
    assert (stated.source["uri"], stated.selection) == ("file:///home/[redacted]/mlruns", {"runs": ["[redacted]"]})
    assert ma.verify(tmp_path / "new.mlfa").problems == []


def _of_other_words(path: Path) -> set[str]:
    """Return the members with words that hold the name: an experiment ``alices``, a tag ``malice``."""
    return {name for name, _ in members_with(path, "alices", "malice")}


def test_an_experiment_goes_with_what_lies_in_it(tmp_path: Path) -> None:
    old = two_people(tmp_path / "old.mlfa")
    report = ma.redact(old, tmp_path / "new.mlfa", rules(tmp_path, "[erase]\nexperiments = ['1', '7']\n"))
    assert report.details["erased"] == {"experiment": 2, "logged_model": 1, "run": 1}
    assert report.details["not_there"] == ["experiment 7"]
    assert members_with(tmp_path / "new.mlfa", ALICE, "alices", hashlib.sha256(SECRET).hexdigest()) == set()
    with open_archive(tmp_path / "new.mlfa") as archive:
        assert archive.table("experiments")["name"].to_pylist() == ["bobs"]
        assert archive.table("runs")["run_id"].to_pylist() == [BOB]


OF_KEYS = (
    "[[values]]\nmatch = 'of m'\naction = 'replace'\n"  # changes a key that the next rule must know as it was
    "[[values]]\nkey = 'of mlflow'\naction = 'replace'\n"
)


def test_a_value_of_one_place_goes_where_it_is_repeated(tmp_path: Path) -> None:
    """In the tag that MLflow writes beside the column, in what an import left, in the manifest, in gaps."""
    run = chunk(
        runs=[run_row(BOB, "1", user_id="eve")],
        tags=pairs(
            BOB,
            {
                "mlflow.user": "eve",
                "mlflow_export_import.run_info.user_id": "eve",
                "mlflow_export_import.lineage.1.mlflow.user": "eve",
                "mlflow.source.type": "LOCAL",
                "of mlflow": "x",
            },
        ),
        gaps=[{"owner_id": BOB, "owner_kind": "run", "path": "x", "code": "G101", "reason": "no /home/eve/x"}],
    )
    experiments = chunk(experiments=[experiment("1", "churn")])
    facts = SourceFacts(kind="mlruns", uri="file:///home/eve/mlruns")
    old = write(tmp_path / "old", experiments, run, facts=facts)
    file = rules(tmp_path, "[[values]]\ntable = 'runs'\ncolumn = 'user_id'\naction = 'pseudonym'\n" + OF_KEYS)
    report = ma.redact(old, tmp_path / "new", file, key_file=tmp_path / "key")
    assert members_with(tmp_path / "new", "/eve", "of mlflow") == set()
    with open_archive(tmp_path / "new") as archive:
        [name] = archive.table("runs")["user_id"].to_pylist()
        assert archive.table("tags")["value"].to_pylist() == ["[redacted]", "LOCAL", name, name, name]
        assert archive.newest_export.source["uri"] == "[redacted]"
    assert [gap.reason for gap in report.gaps] == ["An artifact is declared but is not there."]
