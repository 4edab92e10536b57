"""``export --redact`` and ``redact`` as commands: appends compare what stays, and rules are never mixed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlflow_archive.reader.archive import open_archive
from tests.cli.conftest import Command, cli
from tests.redacting.subjects import every_byte
from tests.support.mlruns import Experiment, Run, Store, write_store

__all__ = ["cli"]

IDS = ["0a" * 16, "0b" * 16]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return written(tmp_path / "mlruns", "hunter2", "0.1")


def written(path: Path, password: str, rate: str) -> Path:
    runs = tuple(Run(run_id=name, params={"password": password, "lr": rate}) for name in IDS)
    write_store(Store(experiments=(Experiment(experiment_id="1", name="churn", runs=runs),)), path)
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "rules.toml").write_text("[[values]]\nname = 'passwords'\nkey = 'password'\naction = 'pseudonym'\n")
    (tmp_path / "key").write_text("0123456789abcdef")
    return tmp_path / "rules.toml"


def test_an_append_compares_what_stays(cli: Command, store: Path, rules: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.mlfa"
    common = ["export", archive, "--from", store, "--redact", rules, "--key-file", tmp_path / "key", "-q"]
    assert cli(*common).code == 0
    with open_archive(archive) as first:
        stated = first.newest_export.redaction
    assert stated is not None
    assert (stated.names, stated.archive) == (("passwords",), None)
    assert [name for name, data in every_byte(archive) if b"hunter2" in data] == []
    again = cli(*common, "--append", "--report", tmp_path / "r.json")
    assert (again.code, json.loads((tmp_path / "r.json").read_text())["unchanged"]) == (0, True)
    written(store, "hunter3", "0.2")
    assert cli(*common, "--append").code == 0
    with open_archive(archive) as second:
        assert len(second.manifest.exports) == 2
        assert second.table("params").num_rows == 4
    assert [name for name, data in every_byte(archive) if b"hunter" in data] == []


def test_rules_are_not_mixed(cli: Command, store: Path, rules: Path, tmp_path: Path) -> None:
    plain, redacted, other = tmp_path / "plain", tmp_path / "redacted", tmp_path / "other.toml"
    other.write_text("[[values]]\nkey = 'lr'\naction = 'drop'\n")
    with_rules = ["--redact", rules, "--key-file", tmp_path / "key", "-q"]
    assert cli("export", plain, "--from", store, "-q").code == 0
    ran = cli("redact", plain, "-o", redacted, "--rules", rules, "--key-file", tmp_path / "key", "-q")
    assert (ran.code, re.findall("objects erased +(.*)", ran.out)) == (0, ["none"])
    before = {place: sorted(every_byte(place)) for place in (plain, redacted)}
    (tmp_path / "key2").write_text("fedcba9876543210")
    said = {
        "none": cli("export", redacted, "--from", store, "--append", "-q"),
        "rules": cli("export", redacted, "--from", store, "--append", "--redact", other, "-q"),
        "key": cli(
            "export", redacted, "--from", store, "--append", "--redact", rules, "--key-file", tmp_path / "key2", "-q"
        ),
        "plain": cli("export", plain, "--from", store, "--append", *with_rules),
        "delta": cli("export", tmp_path / "d.mlfa", "--from", store, "--base", plain, *with_rules),
    }
    back = (
        "mlflow-archive: values were taken out of this archive by rules, and what is added would bring them back: give "
        "--redact with the same rules and key, or export into an archive of its own\n"
    )
    mixed = (
        "mlflow-archive: the archive has an export that was made without these rules, or with another key, and holds "
        "what they take out: redact it first, or export into an archive of its own\n"
    )
    assert {name: (ran.code, ran.err) for name, ran in said.items()} == {
        "none": (1, back),
        **dict.fromkeys(("rules", "key", "plain", "delta"), (1, mixed)),
    }
    assert {place: sorted(every_byte(place)) for place in (plain, redacted)} == before


def test_what_does_not_go(cli: Command, store: Path, rules: Path, tmp_path: Path) -> None:
    common = ["export", tmp_path / "a", "--from", store, "--redact", rules, "-q"]
    without_key = cli(*common)
    dry = cli(*common, "--dry-run")
    assert (without_key.code, dry.code) == (2, 2)
    assert without_key.err == ("mlflow-archive: a rule makes pseudonyms, and these need a key: give --key-file FILE\n")
    assert dry.err == "mlflow-archive: --dry-run does not go with --redact\n"
    (tmp_path / "merge.toml").write_text("[[values]]\nmatch = 'password|lr'\naction = 'replace'\n")
    assert cli("export", tmp_path / "plain", "--from", store, "-q").code == 0
    merged = cli("redact", tmp_path / "plain", "-o", tmp_path / "a", "--rules", tmp_path / "merge.toml", "-q")
    assert (merged.code, merged.err) == (
        2,
        (
            "mlflow-archive: the rules make two keys of one object one in the table params (run_id, key), and a row "
            "would be lost: use the action pseudonym, which keeps them apart\n"
        ),
    )
    assert not (tmp_path / "a").exists()


def test_what_the_command_says(cli: Command, store: Path, rules: Path, tmp_path: Path) -> None:
    unused = "[[values]]\nkey = 'lr'\naction = 'drop'\n[[values]]\nkey = 'rl'\naction = 'drop'\n"
    (tmp_path / "rules.toml").write_text(f"{unused}[erase]\nruns = ['{IDS[0]}', 'x']\n")
    assert cli("export", tmp_path / "plain", "--from", store, "-q").code == 0
    ran = cli("redact", tmp_path / "plain", "-o", tmp_path / "new", "--rules", rules, "-q", "--json")
    with open_archive(tmp_path / "new") as archive, open_archive(tmp_path / "plain") as plain:
        stated = archive.newest_export.redaction
        assert stated is not None
        assert (archive.manifest.minor, stated.archive) == (6, plain.id)
        document = json.loads(ran.out)
        assert (ran.code, document["erased"], document["not_there"]) == (0, {"run": 2}, ["run x"])
        assert (document["archive_id"], document["rules"]) == (archive.id, stated.rules)
        assert document["without_effect"] == [f"{rules}: values[2]"]
        assert ran.err == f"no value was found for: {rules}: values[2]\n"
        assert archive.table("runs")["run_id"].to_pylist() == [IDS[1]]
