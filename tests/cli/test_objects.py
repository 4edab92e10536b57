"""ls and show of every other kind: whole outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import mlflow_archive as ma
from mlflow_archive.api.artifact_tree import StoredArtifact
from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import Command
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run
from tests.support.churn import write_churn

RUN, MODEL, STORED, IN_FILE = "a" * 32, "m-" + "1" * 32, "tr-" + "2" * 32, "tr-" + "3" * 32
BEGAN = 1_760_000_000_000_000_000


def span(trace: str, number: int, parent: int | None, name: str) -> dict[str, object]:
    return {
        "trace_id": trace,
        "span_id": f"{number:016x}",
        "parent_span_id": None if parent is None else f"{parent:016x}",
        "name": name,
        "type": "LLM",
        "status": "OK",
        "start_time_unix_nano": BEGAN + number,
        "end_time_unix_nano": BEGAN + number + 1_500_000,
        "content": json.dumps({"attributes": {"mlflow.spanType": '"LLM"'}}),
    }


def payload() -> bytes:
    """Return traces.json as MLflow 2 wrote it and, in the second span, as MLflow 3 does."""
    old = {
        "name": "old",
        "context": {"span_id": "0x00000000000000aa", "trace_id": "0x1"},
        "parent_id": None,
        "start_time": BEGAN,
        "end_time": BEGAN + 2_000_000,
        "status_code": "ERROR",
        "attributes": {"mlflow.spanType": '"CHAIN"', "mlflow.spanInputs": '{"q": 1}', "mlflow.spanOutputs": '"two"'},
        "events": [
            {"name": "exception", "attributes": {"exception.type": "ValueError", "exception.message": "no"}},
        ],
    }
    new = {
        "name": "new",
        "span_id": "AAAAAAAAALs=",
        "parent_span_id": "AAAAAAAAAKo=",
        "start_time_unix_nano": BEGAN + 1,
        "end_time_unix_nano": None,
        "status": {"code": "STATUS_CODE_OK"},
        "attributes": {},
    }
    return json.dumps({"spans": [new, old]}).encode()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trace = {"experiment_id": "1", "request_time": 1_655_004_878_844, "state": "OK"}
    first = chunk(experiments=[experiment("1", "churn")])
    rest = chunk(
        [artifact(IN_FILE, "traces.json", payload(), kind="trace"), artifact(MODEL, "x", b"x\n", kind="logged_model"),
         artifact("shop/net", "2/MLmodel", b"shop\n", kind="registered_model"),
         artifact("team/net", "3/MLmodel", b"team\n", kind="registered_model")],
        runs=[run(RUN, "1", run_name="parent")],
        logged_models=[
            {"model_id": MODEL, "experiment_id": "1", "name": "net", "status": "READY", "source_run_id": RUN}
        ],
        logged_model_params=[{"model_id": MODEL, "key": "depth", "value": "3"}],
        traces=[{**trace, "trace_id": STORED, "trace_name": "ask"}, {**trace, "trace_id": IN_FILE}],
        trace_tags=[{"trace_id": STORED, "key": "team", "value": "nlp"}],
        spans=[span(STORED, 2, 1, "call"), span(STORED, 1, None, "ask"), span(STORED, 3, 2, "deep")],
        registered_models=[{"name": "shop/net", "workspace": "default"}, {"name": "net", "workspace": "team"}],
        model_versions=[
            {"name": "shop/net", "workspace": "default", "version": number, "source": f"models:/{MODEL}"}
            for number in (10, 2)
        ] + [{"name": "net", "workspace": "team", "version": 3}],
        model_version_tags=[
            {"name": "shop/net", "workspace": "default", "version": 2, "key": "ok", "value": "yes"}
        ],
        registered_model_aliases=[{"name": "shop/net", "workspace": "default", "alias": "best", "version": 2}],
        datasets=[{"experiment_id": "1", "name": "iris", "digest": "d1", "source_type": "local", "source": "x"}],
        gateway_secrets=[{"secret_id": "s-1", "secret_name": "openai key"}],
        issues=[
            {"issue_id": "iss-1", "experiment_id": "1", "name": "slow", "description": "", "status": "OPEN"}
        ],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("objects") / "a.mlfa"
    copy(ChunkSource((0, [first]), (1, [rest])), ArchiveSink(path, tool="test", clock_ms=lambda: 0), jobs=1)
    return path


def text(block: str) -> str:
    return dedent(block).lstrip("\n")


@pytest.mark.parametrize(
    ("what", "options", "lines"),
    [
        ("logged-models", ["--columns", "name,experiment,status,params.depth"], ["net   churn       READY   3"]),
        ("traces", ["--filter", "tags.team = 'nlp'", "--columns", "trace_name,state"], ["ask         OK"]),
        ("traces", ["--filter", "span.name = 'deep'", "--columns", "trace_name"], ["ask"]),
        ("models", ["--sort", "-versions", "--columns", "name,versions"], ["shop/net         2", "net              1"]),
        ("model-versions", ["--columns", "version,tags.ok"], ["      3  -", "      2  yes", "     10  -"]),
        ("issues", ["--columns", "name,status"], ["slow  OPEN"]),
        ("webhooks", [], []),
    ],
)
def test_ls(cli: Command, archive: Path, what: str, options: list[str], lines: list[str]) -> None:
    ran = cli("ls", archive, what, *options)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1:] == lines


@pytest.mark.parametrize(
    ("word", "number"),
    [("models:/shop/net/2", 2), ("models:/shop/net@best", 2), ("models:/shop/net/latest", 10), ("models:/shop/net", 10),
     ("prompts:/team/net/3", 3)],
)  # fmt: skip
def test_show_one_version(cli: Command, archive: Path, word: str, number: int) -> None:
    version = json.loads(cli("show", archive, word, "--json").out)
    assert (version["kind"], version["model_version"]["version"]) == ("model_version", number)
    assert version["tags"] == ({"ok": "yes"} if number == 2 else {})
    assert version.get("aliases", []) == ([{"alias": "best"}] if number == 2 else [])
    files = {2: ["2/MLmodel"], 10: ["x"], 3: ["3/MLmodel"]}
    assert [row["path"] for row in version["artifacts"]] == files[number]


@pytest.mark.parametrize(
    ("word", "content"),
    [("models:/shop/net/2/MLmodel", "shop\n"), ("models:/team/net/3/MLmodel", "team\n"),
     ("models:/shop/net/10/x", "x\n"), (f"models:/{MODEL}/x", "x\n"),
     ("runs:/parent/net/x", "x\n"), ("models:/shop/net@best/MLmodel", "shop\n")],
)  # fmt: skip
def test_mlflows_own_names_are_understood(cli: Command, archive: Path, word: str, content: str) -> None:
    assert cli("cat", archive, word).out == content
    folder = word.rpartition("/")[0]
    listed = cli("ls", archive, "artifacts", "--of", folder, "--json").out
    assert listed.count('"size": ' + str(len(content))) == 1
    assert f"{len(content)} bytes" in cli("tree", archive, folder).out


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("models:/shop/net/7", "'shop/net' has no version '7'"),
        ("models:/shop/net@worst", "'shop/net' has no alias 'worst' in"),
        ("prompts:/shop/nett/1", "no registered model or prompt of"),
    ],
)
def test_a_version_that_is_not_there(cli: Command, archive: Path, word: str, sentence: str) -> None:
    for command in (("show", archive, word), ("cat", archive, f"{word}/x")):
        ran = cli(*command)
        assert (ran.code, ran.out) == (2, "")
        assert sentence in ran.err


def test_show_says_what_went_into_a_span_what_came_out_and_how_it_failed(cli: Command, archive: Path) -> None:
    shown = cli("show", archive, IN_FILE).out
    assert (
        text(
            """
        span old
          inputs   {"q": 1}
          outputs  "two"
          error    ValueError: no
        """
        )
        in shown
    )


def test_show_trace(cli: Command, archive: Path) -> None:
    assert cli("show", archive, STORED[:8]).out == text(
        f"""
        trace
          trace_id       {STORED}
          experiment_id  1
          request_time   2022-06-12 03:34:38
          state          OK
          trace_name     ask

        trace tags
          team  nlp

        spans
          span      type  status     ms
          ask       LLM   OK      1.500
            call    LLM   OK      1.500
              deep  LLM   OK      1.500
        """
    )


def test_show_trace_whose_spans_are_in_a_file(cli: Command, archive: Path) -> None:
    out = cli("show", archive, IN_FILE).out
    assert "  old    CHAIN  ERROR   2.000\n    new  -      OK          -\n" in out
    assert "traces.json" in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net", "2 objects of"),
        ("shop/net", "registered model\n  name       shop/net\n"),
        ("team/net", "registered model\n  name       net\n  workspace  team\n"),
        (MODEL[:6], "logged model\n"),
        ("iss-1", "issue\n"),
        ("churn", "experiment\n"),
        ("iris", "dataset\n  experiment_id  1\n  name           iris\n  digest         d1\n"),
        ("openai key", "gateway secret\n  secret_id    s-1\n  secret_name  openai key\n"),
    ],
)
def test_show_finds_what_is_meant(cli: Command, archive: Path, name: str, said: str) -> None:
    ran = cli("show", archive, name)
    assert said in ran.out + ran.err


def test_show_model_has_versions_in_order(cli: Command, archive: Path) -> None:
    found = json.loads(cli("show", archive, "shop/net", "--json").out)
    assert [row["version"] for row in found["model_versions"]] == [2, 10]
    assert found["registered_model_aliases"] == [{"alias": "best", "version": 2}]
    assert found["kind"] == "registered_model"


@pytest.mark.parametrize(
    ("named", "content"),
    [
        (f"{MODEL}/x", b"x\n"),
        ("m-11/x", b"x\n"),
        (f"{RUN}/net/x", b"x\n"),  # of a logged model that the run made, as MLflow has it
        ("parent/net/x", b"x\n"),
        ("net/x", b"x\n"),  # also a registered model, in a workspace
        ("team/net/3/MLmodel", b"team\n"),
        ("shop/net/2/MLmodel", b"shop\n"),
        (f"{IN_FILE}/traces.json", payload()),
    ],
)
def test_artifacts_of_every_kind(cli: Command, archive: Path, tmp_path: Path, named: str, content: bytes) -> None:
    command = [sys.executable, "-m", "mlflow_archive_cli", "cat", str(archive), named]
    assert subprocess.run(command, check=True, capture_output=True).stdout == content
    assert cli("extract", archive, named, "--to", tmp_path / "to", "-q").code == 0
    (written,) = [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
    assert (written.name, written.read_bytes()) == (named.rpartition("/")[2], content)
    assert written.name in cli("tree", archive, named.rpartition("/")[0]).out
    assert written.name in cli("ls", archive, "artifacts", "--of", named.rpartition("/")[0]).out


def test_artifacts_of_objects_of_one_name(cli: Command, archive: Path) -> None:
    ran = cli("cat", archive, "tr-/x")
    assert (ran.code, ran.out) == (2, "")
    assert f"2 objects of {archive} match 'tr-': trace {STORED}, trace {IN_FILE}; give more of the id" in ran.err
    ran = cli("cat", archive, "nobody/x")
    assert "no run, logged model, trace, registered model or skill" in ran.err
    kinds = [line.split()[0] for line in cli("ls", archive, "artifacts").out.splitlines()[1:]]
    assert kinds == ["logged_model", "registered_model", "registered_model", "trace"]


def test_models_of_workspaces_are_told_apart(cli: Command, archive: Path) -> None:
    assert cli("ls", archive, "models").out == text(
        """
        name      versions  creation_time  last_updated_time  description  workspace
        net              1  -              -                  -            team
        shop/net         2  -              -                  -            default
        """
    )


def test_a_run_shows_the_models_it_made(cli: Command, archive: Path) -> None:
    assert f"logged models\n  name  model_id                            status  type\n  net   {MODEL}  READY   -\n" in (
        cli("show", archive, RUN).out
    )
    (made,) = json.loads(cli("show", archive, RUN, "--json").out)["logged_models"]
    assert made == {"model_id": MODEL, "name": "net", "status": "READY", "model_type": None}
    assert cli("tree", archive, RUN).out == f"{RUN}\n  net/\n    x  2 bytes\n1 file, 2 bytes\n"
    with ma.open(archive) as opened:
        entry = opened.run(RUN).artifacts["net/x"]
        assert isinstance(entry, StoredArtifact)
        assert entry.read_bytes() == b"x\n"


def test_deleted_versions_are_left_out_and_not_counted(cli: Command, tmp_path: Path) -> None:
    path = write_churn(tmp_path / "a.mlfa")
    listed = cli("ls", path, "versions", "--columns", "name,version", "--csv")
    assert listed.out == "name,version\nask,1\nchurn,3\nchurn,12\n"
    assert "1 deleted model-version left out; --all has all" in listed.err
    assert cli("ls", path, "versions", "--all", "--columns", "version", "--csv").out == "version\n1\n2\n3\n12\n"
    assert cli("ls", path, "models", "--columns", "name,versions", "--csv").out == "name,versions\nask,1\nchurn,2\n"
