"""diff: whole outputs, exit codes, and the law that equal archives do not differ."""

from __future__ import annotations

import json
import math
from pathlib import Path
from textwrap import dedent

import pytest

from mlflow_archive.api.differences import differences
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import Command
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run
from tests.support.corpora import FILE_STORES, store_path

KEPT, CHANGED, GONE, NEW = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)


def write(path: Path, *, after: bool) -> Path:
    """Write an archive; the second differs in one of everything."""
    nan = math.nan
    first = chunk(experiments=[experiment("1", "churn" if not after else "churn 2")])
    rest = chunk(
        [artifact(CHANGED, "log.txt", b"new" if after else b"old"), artifact(KEPT, "same", b"same")],
        runs=[
            run(KEPT, "1"),
            run(CHANGED, "1", status="FAILED" if after else "RUNNING", end_time=5 if after else None),
            run(NEW if after else GONE, "1"),
        ],
        params=pairs(KEPT, {"lr": "1"}) + pairs(CHANGED, {"lr": "1"} if after else {"lr": "1", "old": "x"}),
        tags=pairs(CHANGED, {"who": "bob" if after else "ada"}),
        metrics=[
            *points(KEPT, "loss", [nan, 1.0]),
            *points(CHANGED, "loss", [1.0, 3.0] if after else [1.0, 2.0]),
            *points(CHANGED, "more", [1.0, 2.0] if after else [1.0]),
        ],
        registered_models=[{"name": "m", "workspace": "w"}],
        model_versions=[{"name": "m", "workspace": "w", "version": n} for n in ((1, 2) if after else (1,))],
    )
    copy(ChunkSource((0, [first]), (1, [rest])), ArchiveSink(path, tool="t", clock_ms=lambda: 0), jobs=1)
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("diff")
    return write(folder / "a.mlfa", after=False), write(folder / "b", after=True)


def test_everything_that_differs_is_told(cli: Command, pair: tuple[Path, Path]) -> None:
    ran = cli("diff", *pair)
    assert ran.code == 1
    assert ran.err == "1 added, 3 changed, 1 removed\n"
    digests = [line for line in ran.out.splitlines() if "digest" in line]
    rest = "\n".join(line for line in ran.out.splitlines() if "digest" not in line) + "\n"
    assert rest == dedent(
        f"""\
        ~ experiment 1
            experiments.name: churn → churn 2
        ~ run {CHANGED}
            runs.status: RUNNING → FAILED
            runs.end_time: (not there) → 1970-01-01 00:00:00
            params.old: value=x → (not there)
            tags.who.value: ada → bob
            metrics.loss 1.point: step=1, timestamp=1655004878845, value=2 → step=1, timestamp=1655004878845, value=3
            metrics.more.points: 1 → 2
        - run {GONE}
        + run {NEW}
        ~ registered model w/m
            model_versions.2: (not there) → (there)
        """
    ).replace("1655004878845", _time(ran.out))
    assert len(digests) == 1
    assert digests[0].startswith("    artifacts.log.txt.digest: ")


def _time(out: str) -> str:
    """Return the time of the second point as it is shown."""
    return out.split("step=1, timestamp=")[1].split(",", maxsplit=1)[0]


def test_json_lines(cli: Command, pair: tuple[Path, Path]) -> None:
    ran = cli("diff", *pair, "--json", "--no-artifacts")
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert {(each["kind"], each["change"]) for each in found} == {
        ("experiment", "changed"), ("run", "changed"), ("run", "removed"), ("run", "added"),
        ("registered_model", "changed"),
    }  # fmt: skip
    changed = next(each for each in found if each["id"] == CHANGED)
    assert {"table": "tags", "key": {"key": "who"}, "field": "value", "before": "ada", "after": "bob"} in changed[
        "fields"
    ]
    assert not any(each["table"] == "artifacts" for each in changed["fields"])


def test_nothing_differs_from_itself(cli: Command, pair: tuple[Path, Path]) -> None:
    ran = cli("diff", pair[0], pair[0])
    assert (ran.code, ran.out, ran.err) == (0, "", "no difference\n")


def test_the_other_way_round_is_the_opposite(pair: tuple[Path, Path]) -> None:
    with open_archive(pair[0]) as one, open_archive(pair[1]) as other:
        there, back = list(differences(one, other)), list(differences(other, one))
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    assert [(c.kind, c.id, opposite[c.change]) for c in there] == [(c.kind, c.id, c.change) for c in back]
    for one_way, other_way in zip(there, back, strict=True):
        assert [(f.table, f.field, f.before, f.after) for f in one_way.fields] == [
            (f.table, f.field, f.after, f.before) for f in other_way.fields
        ]


def test_a_store_and_its_archive_do_not_differ(cli: Command, tmp_path: Path) -> None:
    store = store_path(*FILE_STORES[0])
    assert cli("export", tmp_path / "a.mlfa", "--from", store).code == 0
    assert cli("diff", tmp_path / "a.mlfa", store, "-q").code == 0


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (["nothing.mlfa", "A"], 10, "nothing.mlfa does not exist"),
        (["nothing", "A"], 1, "there is no folder"),
        (["junk.mlfa", "A"], 10, "junk.mlfa is no archive"),
        (["A", "ftp://x"], 2, "ftp: is no scheme"),
    ],
)
def test_what_cannot_be_read(
    cli: Command,
    pair: tuple[Path, Path],
    names: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "junk.mlfa").write_text("junk")
    monkeypatch.chdir(tmp_path)
    ran = cli("diff", *[pair[0] if name == "A" else name for name in names])
    assert ran.code == code
    assert said in ran.err


def moved(path: Path, root: str, workspaces: list[dict[str, object]]) -> Path:
    versions = [{"name": "m", "workspace": "default", "version": 1, "source": f"{root}/m", "storage_location": root}]
    trace = {"trace_id": "tr-1", "experiment_id": "1", "request_time": 1, "state": "OK"}
    first = chunk(experiments=[{**experiment("1", "churn"), "artifact_location": f"{root}/1"}], workspaces=workspaces)
    rest = chunk(
        runs=[run(KEPT, "1", artifact_uri=f"{root}/1/{KEPT}")],
        traces=[trace],
        trace_tags=[{"trace_id": "tr-1", "key": "mlflow.artifactLocation", "value": f"{root}/1/tr"}],
        registered_models=[{"name": "m", "workspace": "default"}],
        model_versions=versions,
    )
    copy(ChunkSource((0, [first]), (1, [rest])), ArchiveSink(path, tool="t", clock_ms=lambda: 0), jobs=1)
    return path


def test_locations_need_not_be_compared(cli: Command, tmp_path: Path) -> None:
    """Nor is the default workspace a difference, which every server has and not every source shows."""
    before = moved(tmp_path / "a", "s3://old", [])
    after = moved(tmp_path / "b", "s3://new", [{"name": "default", "description": "x"}])
    assert cli("diff", before, after).err == "4 changed\n"
    ran = cli("diff", before, after, "--no-locations")
    assert (ran.code, ran.out, ran.err) == (0, "", "no difference\n")
    elsewhere = moved(tmp_path / "c", "models:", [])
    assert "model_versions.1.source" in cli("diff", before, elsewhere, "--no-locations").out
