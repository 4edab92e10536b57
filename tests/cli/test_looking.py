"""info, ls, show, cat and verify of an archive in both forms: whole outputs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.cli.conftest import CHILD, GONE, PARENT, Command, archive_id


def text(block: str) -> str:
    return dedent(block).lstrip("\n")


def test_info(cli: Command, archive: Path) -> None:
    ran = cli("info", archive)
    assert ran.code == 0
    assert ran.err == ""
    head, sizes, tail = ran.out.split("\nsizes\n")[0], ran.out.split("\nsizes\n")[1], ran.out.split("\n\n")[-1]
    form = "directory" if archive.is_dir() else "single file"
    assert head == text(
        f"""
        archive     {archive}
        archive id  {archive_id(archive)}
        form        {form}
        format      1.3

        exports
          export  created (UTC)        runs  gaps  source              MLflow  tool                 selection
               1  2022-06-12 04:18:30     3     1  http://source:5000  2.19.0  mlflow-archive test  everything

        counts
          experiments         2
          experiment_tags     1
          runs                3
          params              4
          tags                2
          metrics             6
          datasets            1
          dataset_inputs      1
          dataset_input_tags  1
          artifacts           3
        """
    )
    assert "  artifacts           1.2 MiB\n  distinct artifacts  1.2 MiB\n" in sizes
    assert tail == "gaps\n  An artifact is declared but is not there. [G101]  1\n"


def test_info_json_has_sizes_in_bytes(cli: Command, archive: Path) -> None:
    found = json.loads(cli("info", archive, "--json").out)
    files = [archive] if archive.is_file() else [path for path in archive.rglob("*") if path.is_file()]
    assert found["sizes"]["total"] == sum(path.stat().st_size for path in files)
    assert found["sizes"]["artifacts"] == found["sizes"]["blobs"] == 256 * 5000 + 12
    assert found["exports"][0]["created"] == "2022-06-12T04:18:30.123Z"
    assert found["gaps"] == {"G101": 1}
    assert found["counts"]["runs"] == 3


def test_ls_experiments(cli: Command, archive: Path) -> None:
    assert cli("ls", archive, "--sort", "-runs", "--all").out == text(
        """
        experiment_id  name   runs  creation_time        lifecycle_stage
        1              churn     2  2020-09-13 12:26:40  active
        2              old       1  2020-09-13 12:26:40  deleted
        """
    )
    active = cli("ls", archive, "experiment")
    assert [line.split()[0] for line in active.out.splitlines()[1:]] == ["1"]
    assert active.err == "1 deleted experiment left out; --all has all\n"


def test_ls_runs(cli: Command, archive: Path) -> None:
    columns = "run_name,experiment,status,params.lr,metrics.loss,duration"
    assert [line.split()[1] for line in cli("ls", archive, "runs", "--all").out.splitlines()[1:]] == [
        "child",
        "parent",
        "gone",
    ]  # the newest first
    # lr is text in MLflow; 10 comes before 0.1 as a number, not as a text.
    assert cli("ls", archive, "runs", "--columns", columns, "--sort", "-params.lr", "--all").out == text(
        """
        run_name  experiment  status    params.lr  metrics.loss  duration
        gone      old         FINISHED  10                    -    81 min
        parent    churn       FINISHED  0.1                   1    4.77 s
        child     churn       FAILED    0.02                  3         -
        """
    )


def test_ls_csv(cli: Command, archive: Path) -> None:
    columns = "run_name,start_time,metrics.bad,params.note"
    assert cli("ls", archive, "runs", "--csv", "--experiment", "churn", "--columns", columns).out == (
        "run_name,start_time,metrics.bad,params.note\n"
        "child,2022-06-12T03:34:40.000Z,,\n"
        'parent,2022-06-12T03:34:38.844Z,NaN,"two\nlines\x1b[31m"\n'
    )


def test_ls_runs_json_is_one_object_a_line(cli: Command, archive: Path) -> None:
    columns = "run_id,start_time,metrics.bad,end_time"
    lines = cli("ls", archive, "runs", "--json", "--experiment", "churn", "--columns", columns).out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"run_id": CHILD, "start_time": "2022-06-12T03:34:40.000Z", "metrics.bad": None, "end_time": None},
        {
            "run_id": PARENT,
            "start_time": "2022-06-12T03:34:38.844Z",
            "metrics.bad": "NaN",
            "end_time": "2022-06-12T03:34:43.611Z",
        },
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--filter", "metrics.loss < 3 AND params.lr = '0.1'"], ["parent"]),
        (["--filter", "attributes.status = 'FINISHED'", "--active"], ["parent"]),
        (["--deleted"], ["gone"]),
        (["--active"], ["child", "parent"]),
        (["--status", "failed"], ["child"]),
        (["--status", "failed", "--status", "FINISHED", "--active"], ["child", "parent"]),
        (["--experiment", "o*", "--all"], ["gone"]),
        (["-e", "churn", "-n", "1"], ["child"]),
        (["--since", "2022-06-12T03:34:39Z"], ["child"]),
        (["--active", "--tree"], ["parent", "child"]),
        (["--active", "--tree", "--sort", "start_time"], ["parent", "child"]),
        (["--experiment", "1", "--limit", "1"], ["child"]),
        (["--param", "lr=0.1"], ["parent"]),
        (["--param", "lr=0.1", "--status", "FAILED"], []),
        (["--tag", f"mlflow.parentRunId={PARENT}"], ["child"]),
        (["--metric", "loss<3"], ["parent"]),
        (["--metric", "loss>=1"], ["child", "parent"]),
        (["--metric", "loss != 1"], ["child"]),
        (["--metric", "bad=nan"], ["parent"]),
        (["--metric", "loss<3", "--metric", "loss>2"], []),
        (["--all", "--sort", "start_time"], ["gone", "parent", "child"]),
        (["--sort", "-start_time", "--limit", "2", "--all"], ["child", "parent"]),
        (["--all", "--sort", "metrics.loss"], ["parent", "child", "gone"]),
        (["--all", "--sort", "-metrics.loss"], ["child", "parent", "gone"]),
        (["--all", "--sort", "metrics.`loss` DESC"], ["child", "parent", "gone"]),
        (["--all", "--sort", "attributes.created asc"], ["gone", "parent", "child"]),
    ],
)
def test_ls_runs_filters(cli: Command, single_file: Path, options: list[str], names: list[str]) -> None:
    ran = cli("ls", single_file, "runs", "--columns", "run_name", *options)
    stages = {"--all", "--active", "--deleted"} & set(options)
    hidden = options in ([], ["--param", "lr=10"])
    assert ran.code == 0
    assert ran.err == ("1 deleted run left out; --all has all\n" if hidden and not stages else "")
    assert ran.out.split()[1:] == names


def test_ls_artifacts(cli: Command, archive: Path) -> None:
    assert cli("ls", archive, "artifacts", "--run", "parent").out == text(
        """
        path           size  digest
        empty             0  e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        model/MLmodel    12  7f8f4a879eefb3f9fed9c6af4077c9acb0db066b2906d6570c42913478686b0f
        """
    )
    assert cli("ls", archive, "artifacts", "model", "--run", "0b", "--json").out == (
        '{"path": "model/MLmodel", "size": 12, '
        '"digest": "7f8f4a879eefb3f9fed9c6af4077c9acb0db066b2906d6570c42913478686b0f"}\n'
    )
    found = [line.split()[:2] for line in cli("ls", archive, "artifacts").out.splitlines()[1:]]
    assert found == [["run", CHILD], ["run", PARENT], ["run", PARENT]]


def test_show_run(cli: Command, archive: Path) -> None:
    ran = cli("show", archive, "parent")
    assert (ran.code, ran.err) == (0, "")
    # Control characters of strangers do not reach the terminal.
    assert ran.out == text(
        r"""
        run
          run_id           0b111111111111111111111111111111
          experiment_id    1
          run_name         parent
          user_id          ada
          status           FINISHED
          start_time       2022-06-12 03:34:38
          end_time         2022-06-12 03:34:43
          lifecycle_stage  active
          artifact_uri     s3://old/1/0b111111111111111111111111111111/artifacts
          experiment       churn
          export           1, made 2022-06-12 04:18:30

        params
          lr    0.1
          note  two\nlines\x1b[31m

        tags
          mlflow.user  ada

        metrics
          metric  points  min  max  last  steps  history
          bad          2    1    1   nan  0…1    ▄✕
          loss         3    1    4     1  0…2    █▃▁

        dataset inputs
          name  digest  source  tags
          iris  d1      http    context=training

        artifacts
          path           size      sha256
          empty          0 bytes   e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
          model/MLmodel  12 bytes  7f8f4a879eefb3f9fed9c6af4077c9acb0db066b2906d6570c42913478686b0f
        """
    )


def test_show_run_json(cli: Command, archive: Path) -> None:
    found = json.loads(cli("show", archive, GONE[:2], "--json").out)
    assert found["run"]["run_id"] == GONE
    assert found["run"]["lifecycle_stage"] == "deleted"
    assert found["gaps"] == [{"path": "x.bin", "code": "G101", "reason": "it is not there"}]
    assert found["export"] == {"number": 1, "created": "2022-06-12T04:18:30.123Z"}
    metrics = json.loads(cli("show", archive, PARENT, "--json").out)["metrics"]
    assert metrics["bad"] == {
        "steps": [0, 1],
        "timestamps_ms": [1655004879000, 1655004880000],
        "values": [1.0, "NaN"],
    }


def test_show_experiment(cli: Command, archive: Path) -> None:
    assert cli("show", archive, "--experiment", "churn").out == text(
        """
        experiment
          experiment_id      1
          name               churn
          artifact_location  s3://old/1
          lifecycle_stage    active
          creation_time      2020-09-13 12:26:40
          last_update_time   2020-09-13 12:26:40

        tags
          team  vision

        runs
          active FAILED    1
          active FINISHED  1
        """
    )


def test_cat_is_binary_safe(archive: Path) -> None:
    command = [sys.executable, "-m", "mlflow_archive_cli", "cat", str(archive), "child/plot 1.png"]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stdout == bytes(range(256)) * 5000
    assert done.stderr == b""


def test_cat_into_a_closed_pipe_is_quiet(single_file: Path) -> None:
    command = f"{sys.executable} -m mlflow_archive_cli cat {single_file} 'child/plot 1.png' | head -c 3"
    done = subprocess.run(["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\0\1\2", b"")


def test_verify_prints_the_promise_with_the_result(cli: Command, archive: Path) -> None:
    ran = cli("verify", archive, "--level", "quick")
    assert (ran.code, ran.err) == (0, "")
    first, promise = ran.out.splitlines()
    assert first.startswith("quick: sound")
    assert promise == "The manifest is sound and every member is there with its size; contents were not read."
    assert json.loads(cli("verify", archive, "--json").out)["ok"] is True


def test_verify_names_what_is_lost(cli: Command, archive: Path, tmp_path: Path) -> None:
    copied = tmp_path / archive.name
    if archive.is_file():
        shutil.copy(archive, copied)
        damaged = copied
        at = copied.read_bytes().rindex(b"\x28\xb5\x2f\xfd")  # the last zstd frame: no page of a table starts so
    else:
        shutil.copytree(archive, copied)
        damaged = next((copied / "packs").iterdir())
        at = damaged.stat().st_size - 40
    data = bytearray(damaged.read_bytes())
    data[at + 20] ^= 1
    damaged.write_bytes(data)
    ran = cli("verify", copied)
    assert ran.code == 12
    assert "full: DAMAGED" in ran.out
    assert "Not true of this archive: Every byte is what was committed" in ran.out
    found = json.loads(cli("verify", copied, "--json").out)
    assert found["ok"] is False
    assert found["problems"][0]["code"].startswith("E")


def test_a_run_is_found_by_id_prefix_or_name_only_if_it_is_one(cli: Command, single_file: Path) -> None:
    several = cli("show", single_file, "0", "--kind", "run")
    assert (several.code, several.out) == (2, "")
    assert several.err == f"mlflow-archive: 2 runs of {single_file} match '0': {CHILD}, {PARENT}; give more of the id\n"
    of_any_kind = cli("show", single_file, "0")
    assert f"2 objects of {single_file} match '0': run {CHILD}, run {PARENT}; give more of the id" in of_any_kind.err
    none = cli("show", single_file, "nobody", "--kind", "run")
    assert none.code == 2
    assert none.err == (
        f"mlflow-archive: no run of {single_file} has the id or name 'nobody'; "
        f"`mlflow-archive ls {single_file} runs` lists them\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls", "A", "runs", "--sort", "colour"], "runs have no column 'colour'"),
        (["ls", "A", "runs", "--sort", "metrics.los DESC"], "matches 'los'; there are 'loss', 'bad'"),
        (["ls", "A", "runs", "--columns", "params.le"], "matches 'le'; there are 'lr', 'note'"),
        (["ls", "A", "rusn"], "'rusn' is no word for what an archive holds; did you mean runs?"),
        (["ls", "A", "nothing"], "there are workspaces, experiments, datasets, "),
        (["ls", "A", "models", "--since", "2024-01-01"], "--since is for lists from the newest on"),
        (["ls", "A", "--tree"], "--tree is for `ls ARCHIVE runs`"),
        (["ls", "A", "runs", "--tree", "--json"], "--tree is for people"),
        (["lss", "A"], "there is no command 'lss'; did you mean ls?"),
        (["show", "A", "parnet"], "has the id or name 'parnet'; did you mean 'parent'?"),
        (["show", "A", "models:/churn/3"], "no registered model or prompt of"),
        (["ls", "A", "--sort", "colour"], "experiments have no column 'colour'"),
        (["ls", "A", "runs", "--columns", "params."], "runs have no column 'params.'"),
        (["ls", "A", "runs", "--experiment", "nope"], "no experiment 'nope'"),
        (["ls", "A", "runs", "--metric", "loss"], "'loss' is no condition such as 'loss<0.1'"),
        (["ls", "A", "runs", "--param", "lr"], "'lr' is not of the form KEY=VALUE"),
        (["ls", "A", "--param", "lr=1"], "--param is for `ls ARCHIVE runs`"),
        (["ls", "A", "artifacts", "--status", "FAILED"], "--status is for `ls ARCHIVE runs`"),
        (["ls", "A", "runs", "--run", "x"], "PATH and --of are for `ls ARCHIVE artifacts`"),
        (["show", "A"], "name a run or another object, or an --experiment"),
        (["show", "A", "--experiment", "nope"], "no experiment matches 'nope'"),
        (["cat", "A", "parent"], "'parent' is not of the form NAME/PATH"),
        (["cat", "A", "parent/nope"], "has no artifact 'nope'"),
        (["cat", "A", "parent/model"], "it is a folder"),
    ],
)
def test_usage(cli: Command, single_file: Path, arguments: list[str], message: str) -> None:
    ran = cli(*[single_file if argument == "A" else argument for argument in arguments])
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
