"""import: into a real server; dry run, receipt, names, and that a second time changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import sqlalchemy
from mlflow.tracking import MlflowClient

from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import CHILD, GONE, PARENT, Command
from tests.support.chunks import ChunkSource, chunk, experiment
from tests.support.databases import PostgresServer, engine_of
from tests.support.mlflow_server import MlflowServer


def test_import_and_again(cli: Command, archive: Path, mlflow_server: MlflowServer, tmp_path: Path) -> None:
    prefix = f"cli {archive.name}/"
    receipt = tmp_path / "receipt.json"
    target = ["--to", mlflow_server.uri, "--experiment-prefix", prefix, "--rename-experiment", "churn=leavers"]
    planned = cli("import", archive, *target, "--dry-run")
    assert planned.code == 0
    assert planned.out.startswith(
        f"would import {archive} to {mlflow_server.uri}\n  experiments     2\n  runs            3\n"
    )
    client = MlflowClient(mlflow_server.uri)
    assert client.get_experiment_by_name(f"{prefix}leavers") is None

    assert cli("import", archive, *target, "--receipt", receipt).code == 0
    done = json.loads(receipt.read_text())
    assert (done["created"], done["skipped"], done["complete"]) == (3, 0, True)
    assert done["target"] == mlflow_server.uri
    parent, child = (client.get_run(done["runs"][run]) for run in (PARENT, CHILD))
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.data.tags["mlflow_export_import.run_info.run_id"] == PARENT
    assert parent.data.tags["mlflow_export_import.metadata.timestamp_nice"] == "2022-06-12 04:18:30"
    assert client.get_run(done["runs"][GONE]).info.lifecycle_stage == "deleted"
    experiment = client.get_experiment_by_name(f"{prefix}leavers")
    assert experiment is not None
    assert experiment.experiment_id == done["experiments"]["1"]

    assert cli("import", archive, *target, "--receipt", receipt, "-q").out == ""
    again = json.loads(receipt.read_text())
    assert (again["created"], again["skipped"]) == (0, 3)
    assert again["runs"] == done["runs"]


def test_names_of_files_and_names_that_would_meet(cli: Command, mlflow_server: MlflowServer, tmp_path: Path) -> None:
    prefix, archive = f"names {tmp_path.name}", tmp_path / "a.mlfa"
    rows = chunk(experiments=[experiment(number, name) for number, name in (("1", "a"), ("2", "ab"), ("3", "c"))])
    copy(ChunkSource((0, [rows])), ArchiveSink(archive, tool="t 1", clock_ms=lambda: 0), jobs=1)
    (tmp_path / "names.csv").write_text("a*,b*\nc,bb\ngone,x\n")
    target = ["--to", mlflow_server.uri, "--experiment-prefix", f"{prefix}/"]
    files = ["--rename-experiments", tmp_path / "names.csv"]
    client = MlflowClient(mlflow_server.uri)

    def there() -> list[str]:
        return sorted(e.name for e in client.search_experiments(filter_string=f"name LIKE '{prefix}/%'"))

    refused = cli("import", archive, *target, *files)
    assert refused.code == 2
    assert "the experiments 'ab', 'c' of the archive would all be 'bb' in the target; nothing is written" in refused.err
    assert there() == []
    receipt = tmp_path / "receipt.json"
    one_by_one = ["--rename-experiment", "c=d", "--rename-model", "x=y", "--merge-models", "--receipt", receipt]
    done = cli("import", archive, *target, *files, *one_by_one)
    assert (done.code, there()) == (0, [f"{prefix}/b", f"{prefix}/bb", f"{prefix}/d"])
    assert "no experiment of this name is imported, so that none is renamed: 'gone'" in done.err
    assert json.loads(receipt.read_text())["options"] == {
        "rename_experiment": {"a*": "b*", "c": "d", "gone": "x"},
        "experiment_prefix": f"{prefix}/",
        "rename_model": {"x": "y"},
        "merge_models": True,
    }
    joined = cli("import", archive, *target, "--rename-experiment", "*=all", "--experiment-prefix", f"{prefix}/in ")
    assert (joined.code, there()[-1]) == (0, f"{prefix}/in all")


def test_options_of_names_that_do_not_go_together(cli: Command, archive: Path, tmp_path: Path) -> None:
    to = ["--to", f"sqlite:///{tmp_path / 'm.db'}"]
    twice = cli("import", archive, *to, "--rename-model", "a=b", "--rename-model", "a=c")
    assert (twice.code, "--rename-model: 'a' cannot become both 'b' and 'c'" in twice.err) == (2, True)
    alone = cli("import", archive, *to, "--move-aliases")
    assert (alone.code, "--move-aliases goes with --merge-models" in alone.err) == (2, True)
    assert not (tmp_path / "m.db").exists()


def test_without_source_tags_and_only_one_run(
    cli: Command, single_file: Path, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    receipt = tmp_path / "receipt.json"
    options = ["--no-source-tags", "--user", "importer", "--run", PARENT, "--experiment-prefix", "bare "]
    assert cli("import", single_file, "--to", mlflow_server.uri, *options, "--receipt", receipt).code == 0
    runs = json.loads(receipt.read_text())["runs"]
    assert set(runs) == {PARENT}
    tags = MlflowClient(mlflow_server.uri).get_run(runs[PARENT]).data.tags
    assert not any(key.startswith("mlflow_export_import.run_info.status") for key in tags)


def test_an_artifact_root_is_for_stores_only(cli: Command, single_file: Path, tmp_path: Path) -> None:
    ran = cli("import", single_file, "--to", "http://127.0.0.1:9", "--artifact-root", tmp_path)
    assert ran.code == 2
    assert "a server decides itself where artifacts go" in ran.err


def test_a_dry_run_into_a_database_that_is_not_there_makes_none(
    cli: Command, single_file: Path, tmp_path: Path
) -> None:
    ran = cli("import", single_file, "--to", f"sqlite:///{tmp_path / 'x.db'}", "--dry-run")
    assert ran.code == 0, ran.err
    assert "  runs            3\n" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_into_a_folder_that_is_not_there_makes_none(cli: Command, single_file: Path, tmp_path: Path) -> None:
    for uri in (str(tmp_path / "mlruns"), (tmp_path / "mlruns").as_uri()):
        ran = cli("import", single_file, "--to", uri, "--dry-run")
        assert ran.code == 0, ran.err
        assert "  runs            3\n" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_into_an_empty_database_makes_no_tables(
    cli: Command, single_file: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    (tmp_path / "empty.db").touch()
    for uri in (postgres.new_database(), f"sqlite:///{tmp_path / 'empty.db'}"):
        ran = cli("import", single_file, "--to", uri.replace("postgresql:", "postgresql+psycopg2:"), "--dry-run")
        assert ran.code == 0, ran.err
        assert "  runs            3\n" in ran.out
        engine = engine_of(uri)
        assert sqlalchemy.inspect(engine).get_table_names() == []
        engine.dispose()
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_into_a_fresh_database_in_a_process_of_its_own(single_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlflow_archive_cli", "import", str(single_file)]
    command += ["--to", f"sqlite:///{tmp_path / 'x.db'}", "--artifact-root", str(tmp_path / "root"), "-q"]
    done = subprocess.run(command, check=False, capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sum(path.stat().st_size for path in (tmp_path / "root").rglob("*") if path.is_file()) == 256 * 5000 + 12


def test_the_help_names_the_tags_that_stay_without_source_tags(cli: Command) -> None:
    said = " ".join(cli("import", "--help").out.split())
    assert "identity tags mlflow_archive.source_… stay" in said.partition("--no-source-tags")[2].partition(" --")[0]
