"""A compaction keeps some exports, each as it was, and nothing that only the others needed."""

from __future__ import annotations

import tempfile
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import mlflow_archive as ma
from mlflow_archive.errors import DamagedError, SelectionError, TargetError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.copy import copy
from mlflow_archive.format.packs import MAX_FRAME_RAW
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.compacting.compact import CompactOptions, compact, estimate
from mlflow_archive.writer.compacting.policy import Keep
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive_cli.main import run as run_command
from tests.conformance import independent_reader
from tests.repairing.subjects import LONG, hashes
from tests.support.chunks import ChunkSource, Rows, artifact, chunk, experiment, pairs, points, run
from tests.support.memory_source import content
from tests.support.three_exports import Chain, chain_at
from tests.writer.test_laws import few

RUNS = ("a" * 32, "b" * 32, "c" * 32)
BLOBS = (b"", b"one", b"two", bytes(MAX_FRAME_RAW + 5))
"""What artifacts hold: nothing, little, more than a frame."""
OPTIONS = CompactOptions(tool="test 2", clock_ms=lambda: 7)


@dataclass(frozen=True)
class State:
    """What an export gives of the source: by run a number, from which all that the run has follows; unknown fields of
    so many kinds; and whether its year ends with it, so that it is kept."""

    runs: Mapping[int, int]
    unknown: int
    kept: bool

    def chunk(self, number: int) -> Chunk:
        """Return what the source holds; no two exports are equal, as one that finds nothing new is none."""
        rows: dict[str, Rows] = {"experiments": [experiment("1", f"after {number}")], "gaps": self._gaps()}
        files = []
        for which, version in self.runs.items():
            run_id = RUNS[which]
            add(rows, "runs", [run(run_id, "1", run_name=f"run {version}")])
            add(rows, "params", pairs(run_id, {"n": str(version)}))
            add(rows, "tags", pairs(run_id, {f"tag {version}": "x"}))
            add(rows, "metrics", points(run_id, "loss", [float(version)] * version))
            files += [artifact(run_id, f"file {n}", BLOBS[n % len(BLOBS)]) for n in range(version, version + 2)]
        return chunk(files, **rows)  # type: ignore[arg-type]

    def _gaps(self) -> Rows:
        reason = f"of {len(self.runs)}"
        return [
            {"owner_kind": "source", "owner_id": kind, "path": "later", "code": "G404", "reason": reason}
            for kind in ("run", "trace", "experiment")[: self.unknown]
        ]


def add(rows: dict[str, Rows], name: str, more: Rows) -> None:
    rows[name] = [*rows.get(name, ()), *more]


states = st.builds(
    State,
    runs=st.dictionaries(st.integers(0, len(RUNS) - 1), st.integers(0, 3)),
    unknown=st.integers(0, 3),
    kept=st.booleans(),
)


def chain_of(path: Path, exports: Sequence[State]) -> None:
    """Export the states one after the other, each in the year of the next one that is kept."""
    year = 2000
    for number, state in enumerate(exports):
        made = int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) + number
        options = ArchiveOptions(append=number > 0, recheck=True, jobs=1)
        sink = ArchiveSink(path, options, tool="t", clock_ms=partial(int, made))
        copy(ChunkSource((0, [state.chunk(number)])), sink)
        year += state.kept


def model(exports: Sequence[State], last: int) -> dict[str, set[tuple[str, ...]]]:
    """Return what a plain reader of the states says after the export of a number: of each run the newest counts."""
    newest = dict(ChainMap(*(dict(state.runs) for state in reversed(exports[:last]))))
    return {
        "runs": {(RUNS[which], f"run {number}") for which, number in newest.items()},
        "tags": {(RUNS[which], f"tag {number}") for which, number in newest.items()},
        "artifacts": {(RUNS[which], f"file {n}") for which, number in newest.items() for n in (number, number + 1)},
    }


@settings(few, max_examples=200 if LONG else 2)
@example(exports=[State({0: 0}, 0, kept=False), State({0: 2, 1: 3}, 0, kept=True)], single=False)  # of a frame no byte
@given(exports=st.lists(states, min_size=1, max_size=5), single=st.booleans())
def test_what_is_kept_reads_as_before(exports: list[State], *, single: bool) -> None:
    """For a chain of exports and any of them: `--at` before and after a compaction, and a plain model, agree."""
    exports[-1] = State(exports[-1].runs, exports[-1].unknown, kept=True)
    kept = [number for number, state in enumerate(exports, 1) if state.kept]
    suffix = ".mlfa" if single else ""
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder, f"old{suffix}"), Path(folder, f"new{suffix}")
        chain_of(old, exports)
        report = compact(old, new, Keep(yearly=len(kept)), OPTIONS)
        assert [(export.number, export.before) for export in report.kept_exports] == list(enumerate(kept, 1))
        assert verify(new).problems == []
        digests: set[str] = set()
        for number, before in enumerate(kept, 1):
            with open_archive(old, at=before) as then, open_archive(new, at=number) as now:
                assert content(now) == content(then)
                for table, expected in model(exports, before).items():
                    columns = {"runs": "run_name", "tags": "key", "artifacts": "path"}
                    rows = now.table(table).to_pylist()
                    owner = "owner_id" if table == "artifacts" else "run_id"
                    assert {(row[owner], row[columns[table]]) for row in rows} == expected
                digests |= set(now.table("artifacts")["digest"].to_pylist())
        stranger = independent_reader.Archive(new)
        assert set(stranger.labelled_blobs()) == digests
        stranger.close()


@pytest.fixture(scope="module", params=["", ".mlfa"])
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return chain_at(tmp_path_factory.mktemp("chain") / f"a{request.param}")


def test_what_it_says_and_states(chain: Chain, tmp_path: Path) -> None:
    new, before = tmp_path / chain.path.name, hashes(chain.path)
    report = compact(chain.path, new, Keep(last=2), OPTIONS)
    assert {name: value for name, value in report.to_json().items() if "bytes" not in name} == {
        "archive_id": chain.ids[2],
        "written_id": verify(new).archive_id,
        "kept_exports": [
            {"number": 1, "before": 2, "created_ms": 1714651200000},
            {"number": 2, "before": 3, "created_ms": 1714737600000},
        ],
        "dropped_exports": [1],
        "rows": {
            **dict.fromkeys(("runs", "params", "tags", "dataset_inputs", "artifacts", "experiments"), 2),
            "experiment_tags": 1,
            "metrics": 8,
            "datasets": 1,
            "gaps": 1,
            "fingerprints": 1,
        },
        "blobs": 1,
        "copied": 1,
        "written": 2,
        "signatures": 0,
        "freed": report.bytes_before - report.bytes_after,
    }
    with open_archive(new) as archive:
        stated = [(export.number, export.created_ms, export.compacted) for export in archive.manifest.exports]
        assert archive.manifest.minor == 5
    step = {"made_ms": 7, "tool": "test 2"}
    assert stated == [
        (1, 1714651200000, ({**step, "archive_id": chain.ids[1], "first": 1, "number": 2},)),
        (2, 1714737600000, ({**step, "archive_id": chain.ids[2], "first": 3, "number": 3},)),
    ]
    assert hashes(chain.path) == before
    again = compact(new, tmp_path / "again", Keep(last=1), OPTIONS)
    with open_archive(tmp_path / "again") as archive:
        assert content(archive) == chain.contents[2]
        steps = archive.newest_export.compacted
    assert [export.before for export in again.kept_exports] == [2]
    assert [(one["number"], one["first"], one["archive_id"]) for one in steps or ()] == [
        (3, 3, chain.ids[2]),
        (2, 1, report.written_id),
    ]


def test_what_is_added_later_continues_it(chain: Chain, tmp_path: Path) -> None:
    from tests.support.three_exports import export  # noqa: PLC0415

    new = tmp_path / chain.path.name
    compact(chain.path, new, Keep(last=1), OPTIONS)
    export(new, 2, ArchiveOptions(append=True))
    assert [export.number for export in _exports(new)] == [1]
    export(new, 0, ArchiveOptions(append=True))
    assert [export.number for export in _exports(new)] == [1, 2]
    assert verify(new).problems == []


def _exports(path: Path) -> Sequence[Any]:
    with open_archive(path) as archive:
        return archive.manifest.exports


def test_a_pack_of_which_all_stays_is_copied_and_a_dry_run_foretells_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for number in (1, 2):
        files = [artifact(RUNS[0], f"{n}", bytes([n]) * 70_000) for n in range(5 * number)]
        rows = chunk(files, experiments=[experiment("1", "one")], runs=[run(RUNS[0], "1", run_name=f"{number}")])
        sink = ArchiveSink(old, ArchiveOptions(append=number > 1), tool="t", clock_ms=lambda: 0)
        copy(ChunkSource((0, [rows])), sink)
    foretold, report = estimate(old, Keep(last=2)), compact(old, new, Keep(last=2), OPTIONS)
    packs = {path.name: path.read_bytes() for path in (old / "packs").iterdir()}
    assert {path.name: path.read_bytes() for path in (new / "packs").iterdir()} == packs
    assert (report.copied, report.written, report.freed, foretold.freed) == (2, 0, 0, 0)
    assert foretold.written_id is None


def test_what_is_refused(chain: Chain, tmp_path: Path) -> None:
    new = tmp_path / "new"
    with pytest.raises(SelectionError, match=r"say which exports stay.*--keep-last 1 keeps the newest alone"):
        compact(chain.path, new, Keep(), OPTIONS)
    with pytest.raises(SelectionError, match="which is not changed"):
        compact(chain.path, chain.path / "new", Keep(last=1), OPTIONS)
    new.touch()
    with pytest.raises(TargetError, match="choose another name"):
        compact(chain.path, new, Keep(last=1), OPTIONS)


def test_a_delta_alone_is_refused_and_a_join_works(tmp_path: Path) -> None:
    from tests.support.three_exports import export  # noqa: PLC0415

    base, delta, whole = (tmp_path / f"{name}.mlfa" for name in ("base", "delta", "whole"))
    export(base, 0, ArchiveOptions())
    export(delta, 1, ArchiveOptions(base=base))
    with pytest.raises(SelectionError, match=r"is a delta of the archive .*it is not thinned out. Join both first"):
        ma.compact(delta, tmp_path / "new", keep=ma.Keep(last=1))
    ma.join(base, whole, deltas=[delta])
    ma.compact(whole, tmp_path / "new", keep=ma.Keep(last=1))
    with open_archive(whole) as old, open_archive(tmp_path / "new") as now:
        assert content(now) == content(old)


@pytest.mark.parametrize("folder", ["packs", "tables/tags", "tables/datasets"])
def test_damage_is_found_and_nothing_is_written(tmp_path: Path, folder: str) -> None:
    """What is copied, written anew, or only in part."""
    path = chain_at(tmp_path / "a").path
    member = sorted((path / folder).iterdir())[0]
    data = bytearray(member.read_bytes())
    data[len(data) // 2] ^= 1
    member.write_bytes(data)
    for keep in (Keep(last=1), Keep(last=3)):
        with pytest.raises(DamagedError, match="E0"):
            compact(path, tmp_path / "new", keep, OPTIONS)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_the_command(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signatures = chain.path.with_name(chain.path.name + ".sig")
    signatures.mkdir()
    (signatures / "0003-ada@bank.example.sig").touch()
    try:
        _command(chain, tmp_path, capsys)
    finally:
        (signatures / "0003-ada@bank.example.sig").unlink()
        signatures.rmdir()


def _command(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.mlfa"
    assert run_command(["compact", str(chain.path), "-o", str(new), "--keep-within", "1d", "--keep-daily", "2"]) == 0
    told = capsys.readouterr()
    lines = [" ".join(line.split()) for line in told.out.splitlines()]
    assert lines[:3] == [
        f"compacted {chain.path} as {new}",
        f"archive id {verify(new).archive_id}",
        "exports that go 1",
    ]
    assert lines[-2:] == ["1 2 2024-05-02 12:00:00", "2 3 2024-05-03 12:00:00"]
    sentence = f"1 signature beside {chain.path}: of that archive, not of {new}. Keep it with them, or sign {new} anew"
    assert told.err.splitlines()[-1] == sentence
    assert run_command(["info", str(new)]) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines() if "(was" in line] == [
        ["1", "(was", "2)"],
        ["2", "(was", "3)"],
    ]
    assert run_command(["compact", str(chain.path), "--dry-run", "--keep-last", "1"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == f"would compact {chain.path}"
    assert run_command(["compact", str(chain.path), "-o", str(new), "--dry-run", "--keep-last", "1"]) == 2
    assert run_command(["compact", str(chain.path), "-o", str(new), "--keep-within", "soon"]) == 2
    assert "'soon' is no time such as 2y6m3d" in capsys.readouterr().err
