"""A scan of an archive: where each find is, that no value is shown, and the command."""

from __future__ import annotations

import gzip
import json
import sys
import tomllib
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.cli.conftest import CLOCK_MS, Command, cli
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs
from tests.support.chunks import run as run_row

__all__ = ["cli"]

RUN = "0a" + "0" * 30
KEY, EMAIL, CARD = "AKIA" + "A1B2C3D4" * 2, "ada.lovelace@bank.example", "4111 1111 1111 1111"
ARTIFACTS = [
    artifact(RUN, "conf/[a].yaml", f"lr: 0.1\nkey: {KEY}\n".encode()),
    artifact(RUN, "copy.yaml", f"lr: 0.1\nkey: {KEY}\n".encode()),
    artifact(RUN, f"of {EMAIL}.txt", b"\xff\xfe nothing"[2:]),
    artifact(RUN, "log.gz", gzip.compress(KEY.encode(), mtime=0)),
    artifact(RUN, "model.pkl", b"\x80\x04K\x01."),
]


def write(path: Path, *, param: str, append: bool = False) -> None:
    rows = chunk(
        ARTIFACTS,
        experiments=[experiment("1", "churn")],
        runs=[run_row(RUN, "1", user_id=EMAIL)],
        params=pairs(RUN, {"db_password": param, "max_tokens": "300", "note": f"paid by {CARD}"}),
        tags=pairs(RUN, {f"owner {EMAIL}": "yes", "token": "None"}),
    )
    sink = ArchiveSink(path, ArchiveOptions(append=append), tool="test", clock_ms=lambda: CLOCK_MS)
    copy(ChunkSource((0, [rows])), sink)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "a.mlfa"
    write(path, param="hunter2")
    return path


HIDDEN = "ad… (25 characters)"
OF_EMAIL = "of ad… (29 characters)"


def test_where_each_find_is(archive: Path) -> None:
    report = ma.scan(archive)
    of_run = {"owner_kind": "run", "owner_id": RUN}
    credential = {"kind": "credential", "name": "AWS Access Key", "value": "AK… (20 characters)", **of_run}
    email = {"kind": "e-mail", "name": "e-mail address", "value": HIDDEN, **of_run}
    by_key = {"kind": "credential", "name": "value under a telling name", "value": "… (7 characters)", **of_run}
    card = {"kind": "card", "name": "card number", "value": "41… (19 characters)", **of_run}
    expected = [
        {**email, "table": "runs", "column": "user_id"},
        {**by_key, "table": "params", "column": "value", "key": "db_password"},
        {**card, "table": "params", "column": "value", "key": "note"},
        {**email, "table": "tags", "column": "key", "key": f"owner {HIDDEN}"},
        {**email, "value": "ad… (29 characters)", "table": "artifacts", "column": "path", "key": OF_EMAIL},
        {**credential, "path": "conf/[a].yaml", "line": 2},
        {**credential, "path": "copy.yaml", "line": 2},
    ]
    assert [find.to_json() for find in report.finds] == expected
    assert (report.clean, report.counts) == (False, {"e-mail": 3, "credential": 3, "card": 1})
    assert report.not_looked == {"gzip": 1, "pickle": 1}
    assert report.looked["artifacts"] == 3


def test_rules_name_places_and_no_value(archive: Path) -> None:
    rules = ma.scan(archive).rules()
    assert not any(value in rules for value in (KEY, EMAIL, CARD, "hunter2"))
    read = tomllib.loads(rules)
    assert read["artifacts"] == [{"path": "conf/[[]a].yaml"}, {"path": "copy.yaml"}]
    values = [{name: value for name, value in rule.items() if name != "match"} for rule in read["values"]]
    assert values == [
        {"table": "runs", "column": "user_id", "action": "replace"},
        {"table": "params", "column": "value", "key": "db_password", "action": "replace"},
        {"table": "params", "column": "value", "key": "note", "action": "replace"},
        {"action": "pseudonym"},
    ]


def test_what_a_later_export_replaced_is_still_there(tmp_path: Path) -> None:
    write(tmp_path / "a", param="hunter2")
    write(tmp_path / "a", param="None", append=True)
    found = [find for find in ma.scan(tmp_path / "a").finds if find.key == "db_password"]
    assert [item.value for item in found] == ["… (7 characters)"]


def test_the_command(cli: Command, archive: Path, tmp_path: Path) -> None:
    ran = cli("scan", archive, "-q", "--write-rules", tmp_path / "rules.toml")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines()[-2:] == [
        "7 found in 41 values and 3 artifacts of text (42 bytes)",
        "not looked into: 1 gzip, 1 pickle",
    ]
    assert not any(value in ran.out for value in (KEY, EMAIL, CARD, "hunter2"))
    assert (tmp_path / "rules.toml").read_text("utf-8") == ma.scan(archive).rules()
    document = json.loads(cli("scan", archive, "-q", "--json").out)
    assert document == ma.scan(archive).to_json()


def test_an_archive_without_secrets(cli: Command, tmp_path: Path) -> None:
    copy(
        ChunkSource((0, [chunk(experiments=[experiment("1", "churn")])])),
        ArchiveSink(tmp_path / "a", tool="t", clock_ms=lambda: 1),
    )
    ran = cli("scan", tmp_path / "a", "-q")
    assert (ran.code, ran.out) == (0, "nothing found in 4 values and 0 artifacts of text (0 bytes)\n")


def test_without_the_extra(cli: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("detect_secrets")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "detect_secrets", None)
    ran = cli("scan", archive, "-q")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "to scan an archive for credentials" in ran.err
    assert "pip install 'mlflow-archive[scan]'" in ran.err


def test_its_rules_take_out_what_it_found(cli: Command, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef")
    (tmp_path / "rules").write_text(ma.scan(archive).rules())
    ma.redact(archive, tmp_path / "new", tmp_path / "rules", key_file=tmp_path / "key")
    assert ma.scan(tmp_path / "new").finds == []
