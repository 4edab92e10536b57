"""export: options, dry run, report, gaps, and where it reads from when nothing is said."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive_cli.commands.export import _write_report
from mlflow_archive_cli.parameters import size_bytes, time_ms
from tests.cli.conftest import Command
from tests.support.corpora import FILE_STORES, store_facts, store_path
from tests.support.databases import make_database
from tests.support.mlruns import Experiment, Point, Run, Store, write_store

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def store(tmp_path: Path) -> Path:
    runs = (
        Run(run_id=A, name="first", params={"lr": "0.1"}, metrics=(Point(key="loss", value=0.5),)),
        Run(
            run_id=B, name="second", start_time=1_710_000_000_000, artifacts={"a/b.txt": b"x" * 10, "big": b"y" * 2000}
        ),
    )
    gone = Run(run_id=C, name="third", deleted=True)
    experiments = (
        Experiment(experiment_id="1", name="one", runs=runs),
        Experiment(experiment_id="2", name="two", runs=(gone,)),
    )
    write_store(Store(experiments=experiments), tmp_path / "mlruns")
    return tmp_path / "mlruns"


def test_fields_that_this_version_does_not_know_are_counted(store: Path, tmp_path: Path, cli: Command) -> None:
    for run_id in (A, B):
        with (store / "1" / run_id / "meta.yaml").open("a") as file:
            file.write("later: 1\n")
    said = cli("export", tmp_path / "a.mlfa", "--from", store)
    reason = f"this version knows no such field; this export met a value 2 times, such as in run {A}"
    assert said.code == 3
    assert f"1 things could not be exported:\n  {reason} [G404]\n    source run later\n" in said.err


def runs_in(path: Path) -> set[str]:
    with open_archive(path) as opened:
        return {run[0] for run in opened.table("runs")["run_id"].to_pylist()}


def artifacts_in(path: Path) -> list[str]:
    with open_archive(path) as opened:
        return sorted(opened.table("artifacts")["path"].to_pylist())


@pytest.mark.parametrize("name", ["x.mlfa", "x"])
def test_export_says_what_it_did(cli: Command, store: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    ran = cli("export", target, "--from", store)
    with open_archive(target) as opened:
        archive_id = opened.id
    assert ran.code == 0
    *lines, size, time = ran.out.splitlines(keepends=True)
    assert re.fullmatch(r"  size         [0-9.]+ KiB\n", size)
    assert re.fullmatch(r"  time         [0-9.]+ m?s, [0-9.]+ runs/s\n", time)
    assert "".join(lines) == dedent(
        f"""\
        exported file:{store} to {target}
          experiments  2
          runs         3
          params       1
          metrics      1
          artifacts    2
          export       1
          archive id   {archive_id}
        """
    )
    assert target.is_dir() == (name == "x")


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ([], "abc"),
        (["--experiment", "one"], "ab"),
        (["--experiment", "t*"], "c"),
        (["--experiment", "one", "--experiment", "2"], "abc"),
        (["--run", A], "a"),
        (["--run", A, "--run", C], "ac"),
        (["--filter", "params.lr = '0.1'"], "a"),
        (["--since", "2024-01-01"], "b"),
        (["--until", "2024-01-01T00:00:00Z"], "ac"),
        (["--no-deleted"], "ab"),
    ],
)
def test_selection(cli: Command, store: Path, tmp_path: Path, options: list[str], runs: str) -> None:
    assert cli("export", tmp_path / "x.mlfa", "--from", store, *options).code == 0
    assert runs_in(tmp_path / "x.mlfa") == set(runs)


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        ([], ["a/b.txt", "big"]),
        (["--no-artifacts"], []),
        (["--artifact-glob", "*.txt"], ["a/b.txt"]),
        (["--max-artifact-size", "1kB"], ["a/b.txt"]),
        (["--max-artifact-size", "2000"], ["a/b.txt", "big"]),
    ],
)
def test_selection_of_artifacts(
    cli: Command, store: Path, tmp_path: Path, options: list[str], paths: list[str]
) -> None:
    assert cli("export", tmp_path / "x.mlfa", "--from", store, "--level", "19", "--jobs", "1", *options).code == 0
    assert artifacts_in(tmp_path / "x.mlfa") == paths


def test_artifact_map(cli: Command, store: Path, tmp_path: Path) -> None:
    meta = store / "1" / B / "meta.yaml"
    elsewhere = tmp_path / "elsewhere"
    (store / "1" / B / "artifacts").rename(elsewhere)
    uri = f"s3://bucket/1/{B}/artifacts"
    meta.write_text(
        "\n".join(f"artifact_uri: {uri}" if "artifact_uri" in line else line for line in meta.read_text().splitlines())
    )
    ran = cli("export", tmp_path / "x.mlfa", "--from", store, "--artifact-map", f"{uri}={elsewhere}")
    assert ran.code == 0
    assert artifacts_in(tmp_path / "x.mlfa") == ["a/b.txt", "big"]


def test_a_report_that_cannot_be_written_leaves_the_export_and_says_so(
    cli: Command, store: Path, tmp_path: Path
) -> None:
    target = tmp_path / "x.mlfa"
    ran = cli("export", target, "--from", store, "--report", "/dev/full", "-q")
    assert ran.code == 1
    assert ran.err == (
        "mlflow-archive: --report /dev/full cannot be written: No space left on device; the export is committed: "
        f"{target}, {open_archive(target).id}\n"
    )


def test_a_report_that_goes_to_a_full_disk_by_stdout_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - to close it fails
    monkeypatch.setattr("sys.stdout", full)
    told = "--report - cannot be written: No space left on device; the export is committed: a, 1"
    with pytest.raises(TargetError, match=told):
        _write_report(Path("-"), {"dry_run": False, "archive": "a", "archive_id": "1"})
    with suppress(OSError):  # it has what was not written
        full.close()


def test_dry_run_counts_what_the_export_writes(cli: Command, store: Path, tmp_path: Path) -> None:
    target, report = tmp_path / "x.mlfa", tmp_path / "report.json"
    ran = cli("export", target, "--from", f"file://{store}", "--dry-run", "--report", report)
    assert ran.code == 0
    assert ran.out.startswith(f"would export file:{store} to {target}\n")
    assert ran.out.endswith("  artifact bytes  2.0 KiB\n")
    assert {path.name for path in tmp_path.iterdir()} == {"mlruns", "report.json"}
    planned = json.loads(report.read_text())
    assert cli("export", target, "--from", store, "--report", report).code == 0
    done = json.loads(report.read_text())
    assert planned["dry_run"] is True
    assert done["dry_run"] is False
    assert planned["counts"].pop("artifact_bytes") == 2010
    assert planned["counts"] == {name: done["counts"].get(name, 0) for name in planned["counts"]}
    assert done["source"] == {"extra": {}, "kind": "mlruns", "uri": f"file:{store}"}


def test_append_adds_what_is_new(cli: Command, store: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.mlfa"
    assert cli("export", target, "--from", store, "--experiment", "one").code == 0
    again = cli("export", target, "--from", store)
    assert again.code == 1
    assert again.err == (
        f"mlflow-archive: {target} is an archive already (export 1 of file:{store}). "
        "Use --append to add what is new, or choose another name\n"
    )
    planned = cli("export", target, "--from", store, "--append", "--dry-run")
    assert planned.code == 0
    assert "  runs            1\n" in planned.out
    added = cli("export", target, "--from", store, "--append")
    assert added.code == 0
    assert "  runs         1\n" in added.out
    assert runs_in(target) == set("abc")
    before = target.read_bytes()
    nothing = cli("export", target, "--from", store, "--append")
    assert nothing.code == 0
    assert nothing.out.startswith(f"nothing is new at file:{store}; {target} stays as it is\n  export      2\n")
    assert target.read_bytes() == before
    assert [line.split()[0] for line in cli("info", target).out.split("\n\n")[1].splitlines()[2:]] == ["1", "2"]
    assert json.loads(cli("info", target, "--json").out)["counts"]["runs"] == 3
    assert json.loads(cli("show", target, C, "--json").out)["export"]["number"] == 2
    assert json.loads(cli("show", target, A, "--json").out)["export"]["number"] == 1


def test_gaps_are_listed_and_make_exit_code_3(cli: Command, store: Path, tmp_path: Path) -> None:
    (store / "1" / A / "metrics" / "loss").write_text("this is no metric\n")
    (store / "1" / B / "meta.yaml").write_text("{")
    report = tmp_path / "report.json"
    ran = cli("export", tmp_path / "x.mlfa", "--from", store, "--report", report)
    assert ran.code == 3
    lines = ran.err.splitlines()
    assert lines[0] == "2 things could not be exported:"
    assert lines[2].startswith(f"    run {A} ")
    assert lines[4] == f"    run {B}"
    found = json.loads(report.read_text())
    assert found["complete"] is False
    assert [gap["code"] for gap in sorted(found["gaps"], key=lambda gap: str(gap["owner_id"]))] == ["G202", "G201"]


def test_many_gaps_of_one_cause_are_one_with_a_count_and_examples(cli: Command, store: Path, tmp_path: Path) -> None:
    for number in range(25):
        (store / "1" / A / "metrics" / f"bad{number}").write_text("no metric\n")
    report = tmp_path / "report.json"
    ran = cli("export", tmp_path / "x.mlfa", "--from", store, "--report", report)
    assert ran.code == 3
    title, cause, *examples, more, where = ran.err.splitlines()
    assert title == "25 things could not be exported:"
    assert cause.startswith("  25 times, such as: ")
    assert cause.endswith(" [G202]")
    assert [line.split()[:2] for line in examples] == [["run", A]] * 3
    assert (more, where) == ("    and 22 more", "  all of them with --report")
    assert len(json.loads(report.read_text())["gaps"]) == 25


def test_quiet_says_nothing(cli: Command, store: Path, tmp_path: Path) -> None:
    ran = cli("export", tmp_path / "x.mlfa", "--from", store, "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_the_default_source_is_what_mlflow_would_use_here(
    cli: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow's client sets it for its process
    monkeypatch.chdir(tmp_path)
    assert cli("export", "here.mlfa").out.startswith(f"exported file:{store} to here.mlfa\n")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    nothing = cli("export", "x.mlfa")
    assert nothing.code == 2
    assert "there is nothing to export here" in nothing.err
    make_database(f"sqlite:///{other / 'mlflow.db'}")
    assert cli("export", "x.mlfa").out.startswith(f"exported sqlite:///{other}/mlflow.db to x.mlfa\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(store))
    assert cli("export", "y.mlfa").code == 0


@pytest.mark.parametrize(("corpus", "folder"), FILE_STORES)
def test_real_stores(cli: Command, tmp_path: Path, corpus: str, folder: str) -> None:
    facts = store_facts(corpus, folder)
    ran = cli("export", tmp_path / "x.mlfa", "--from", store_path(corpus, folder))
    assert ran.code in (0, 3)
    counts = json.loads(cli("info", tmp_path / "x.mlfa", "--json").out)["counts"]
    assert counts["runs"] == facts["runs"]
    assert cli("verify", tmp_path / "x.mlfa", "-q").code == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01", 1704067200000),
        ("2024-01-01T01:00:00", 1704070800000),
        ("2024-01-01T01:00:00Z", 1704070800000),
        ("2024-01-01T01:00:00+02:00", 1704063600000),
        ("2024-01-01T00:00:00.250", 1704067200250),
        ("2024-01-01T00:00:00.999Z", 1704067200999),
        ("2024-01-01T00:00:00.250000", 1704067200250),
        ("2024-01-01T00:00:00.250001", 1704067200251),
        ("2024-01-01T00:00:00.2505", 1704067200251),
        ("2024-01-01T00:00:00.999999Z", 1704067201000),
        ("1969-12-31T23:59:59.9985Z", -1),
        ("0001-01-01", -62135596800000),
        ("9999-12-31T23:59:59.999", 253402300799999),
        ("1969-12-31", -86400000),
    ],
)
def test_times_are_exact_and_a_part_of_a_millisecond_counts_as_a_whole_one(text: str, expected: int) -> None:
    assert time_ms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("500", 500),
        ("12B", 12),
        ("10MB", 10**7),
        ("10 kB", 10**4),
        ("1.5GiB", 3 * 2**29),
        ("2KiB", 2048),
        ("2.01kB", 2_010),
        ("1.1GB", 1_100_000_000),
        ("0.1kB", 100),
        ("1.9999B", 1),
    ],
)
def test_sizes_are_exact(text: str, expected: int) -> None:
    assert size_bytes(text) == expected
