"""What every Source must do, whatever it reads: run by each source on one world, or on what it holds itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.tables import RUN
from mlflow_archive.pipeline import Known, Quiet, Selection, Source, nothing_known
from tests.support.mlruns import DatasetInput, Point
from tests.support.reading import Read, bits, content, plain_rows, read_source

THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a source holds of one run, by what it was made from."""

    params: Mapping[str, str]
    metrics: tuple[Point, ...]
    artifacts: Mapping[str, bytes]
    inputs: tuple[DatasetInput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A source under test: ``make`` gives a new one each time.

    ``runs`` and ``experiments`` map the names they have in the test to the ids they have in the source; ``prefix`` is
    before the names of experiments there. The source's own secrets, which no fact may show, are ``secrets``.
    """

    make: Callable[[], Source]
    runs: Mapping[str, str]
    experiments: Mapping[str, str]
    held: Mapping[str, Held]
    prefix: str = ""
    secrets: tuple[str, ...] = ()
    with_gaps: frozenset[str] = field(default_factory=frozenset)

    def read(self, selection: Selection | None = None, known: Known = nothing_known) -> Read:
        selection = selection or Selection()
        if not selection.experiments and not selection.runs:
            selection = replace(selection, experiments=(f"{self.prefix}*",))
        return read_source(self.make(), selection, known)

    def names(self, found: Read) -> list[str]:
        """Return the names of the runs that were read, each as often as it came."""
        by_id = {run_id: name for name, run_id in self.runs.items()}
        return sorted(by_id[row["run_id"]] for row in found.tables["runs"])

    def names_of_experiments(self, found: Read) -> list[str]:
        by_id = {each: name for name, each in self.experiments.items()}
        return sorted({by_id[row["experiment_id"]] for row in found.tables["experiments"]})


def fingerprints(found: Read) -> dict[str, str]:
    return {row["owner_id"]: row["fingerprint"] for row in found.rows("fingerprints", owner_kind=RUN)}


def comparable(found: Read) -> dict[str, Any]:
    """Return what was read in no order, with the bytes of the artifacts."""
    tables = {name: sorted({repr(sorted(row.items())) for row in rows}) for name, rows in found.tables.items()}
    files = {(file.owner_id, file.path, file.size): content(file) for file in found.artifacts}
    return {**tables, "points": len(found.tables["metrics"]), "files": files}


class SourceContract:
    """Subclasses provide the fixture ``subject``."""

    def test_facts_hold_no_credentials(self, subject: Subject) -> None:
        source = subject.make()
        facts = source.facts()
        source.close()
        assert facts.kind
        assert facts.uri
        assert not [secret for secret in subject.secrets if secret in repr(facts)]

    def test_each_run_is_in_exactly_one_shard(self, subject: Subject) -> None:
        found = subject.read()
        assert subject.names(found) == sorted(subject.runs)
        assert subject.names_of_experiments(found) == sorted(subject.experiments)
        assert sum(shard.weight for shard in found.shards) == len(subject.runs)
        assert len({shard.name for shard in found.shards}) == len(found.shards)

    def test_stages_ascend(self, subject: Subject) -> None:
        stages = [shard.stage for shard in subject.read().shards]
        assert stages == sorted(stages)
        assert stages[0] >= 0

    def test_tables_are_those_of_the_format(self, subject: Subject) -> None:
        """``read_source`` compares each schema; what the sink alone knows is in no chunk."""
        found = subject.read()
        assert {name for chunk in found.chunks for name in chunk.tables}.isdisjoint({"artifacts", "blobs"})
        assert {row["run_id"] for name in ("params", "tags", "metrics") for row in found.tables[name]} <= set(
            subject.runs.values()
        )

    def test_everything_that_is_there_comes(self, subject: Subject) -> None:
        found = subject.read()
        for name, held in subject.held.items():
            run_id = subject.runs[name]
            assert {row["key"]: row["value"] for row in found.rows("params", run_id=run_id)} == held.params
            points = [
                (row["key"], row["step"], row["timestamp"], bits(row["value"]))
                for row in found.rows("metrics", run_id=run_id)
            ]
            assert sorted(points) == sorted((p.key, p.step, p.timestamp, bits(p.value)) for p in held.metrics)
            files = {file.path: content(file) for file in found.artifacts if file.owner_id == run_id}
            assert files == held.artifacts
            inputs = {
                (row["dataset_name"], row["dataset_digest"]) for row in found.rows("dataset_inputs", run_id=run_id)
            }
            assert inputs == {(each.dataset.name, each.dataset.digest) for each in held.inputs}
            tags = {row["key"]: row["value"] for row in found.rows("dataset_input_tags", run_id=run_id)}
            assert tags == {key: value for each in held.inputs for key, value in each.tags.items()}

    def test_only_a_run_without_gaps_has_a_fingerprint(self, subject: Subject) -> None:
        found = subject.read()
        lacking = {row["owner_id"] for row in found.rows("gaps", owner_kind=RUN)}
        assert lacking == {subject.runs[name] for name in subject.with_gaps}
        assert set(fingerprints(found)) == set(subject.runs.values()) - lacking
        assert len(found.rows("fingerprints", owner_kind=RUN)) == len(fingerprints(found))

    def test_reading_twice_gives_the_same(self, subject: Subject) -> None:
        first, second = subject.read(), subject.read()
        assert fingerprints(first) == fingerprints(second)
        assert comparable(first) == comparable(second)

    def test_what_is_known_is_left_out_whole(self, subject: Subject) -> None:
        known = fingerprints(subject.read())
        found = subject.read(known=lambda kind, each: known.get(each) if kind == RUN else None)
        again = {subject.runs[name] for name in subject.with_gaps}
        assert subject.names(found) == sorted(subject.with_gaps)
        for name in ("params", "tags", "metrics", "dataset_inputs", "dataset_input_tags"):
            assert {row["run_id"] for row in found.tables[name]} <= again
        assert {file.owner_id for file in found.artifacts} <= again
        assert subject.names_of_experiments(found) == sorted(subject.experiments)

    def test_what_has_changed_comes_again(self, subject: Subject) -> None:
        known = fingerprints(subject.read())
        changed = next(name for name in sorted(subject.runs) if name not in subject.with_gaps)
        known[subject.runs[changed]] = "0" * 64
        found = subject.read(known=lambda kind, each: known.get(each) if kind == RUN else None)
        assert subject.names(found) == sorted({changed, *subject.with_gaps})
        assert len(found.rows("params", run_id=subject.runs[changed])) == len(subject.held[changed].params)

    def test_shards_can_be_read_by_several_threads(self, subject: Subject) -> None:
        source = subject.make()
        source.facts()
        found = Read()
        shards = list(source.plan(Selection(experiments=(f"{subject.prefix}*",)), Quiet()))
        with ThreadPoolExecutor(THREADS) as pool:
            for stage in sorted({shard.stage for shard in shards}):
                now = [shard for shard in shards if shard.stage == stage]
                for chunks in pool.map(lambda shard: list(source.read(shard, nothing_known)), now):
                    found.artifacts += [file for chunk in chunks for file in chunk.artifacts]
                    for name, table in ((name, table) for chunk in chunks for name, table in chunk.tables.items()):
                        found.tables[name] += plain_rows(table)
        together = comparable(found)
        source.close()
        assert together == comparable(subject.read())

    def test_an_artifact_opens_again_and_from_any_thread(self, subject: Subject) -> None:
        source = subject.make()
        source.facts()
        selection = Selection(experiments=(f"{subject.prefix}*",))
        files = [
            file
            for shard in source.plan(selection, Quiet())
            for chunk in source.read(shard, nothing_known)
            for file in chunk.artifacts
        ]
        name_of = {run_id: name for name, run_id in subject.runs.items()}
        with ThreadPoolExecutor(THREADS) as pool:
            for file, data in zip(files * 2, pool.map(content, files * 2), strict=True):
                assert data == subject.held[name_of[file.owner_id]].artifacts[file.path]
                assert file.size in (len(data), None)
        with max(files, key=lambda file: file.size or 0).open() as stream:
            start = stream.read(7)
            stream.seek(0)
            assert stream.read(7) == start
        source.close()


class SelectingSourceContract(SourceContract):
    """For sources that select. The world: ``one`` with runs 0 to 3 and the deleted 4, ``two`` without, ``gone``."""

    @pytest.mark.parametrize(
        ("selection", "runs"),
        [
            pytest.param(Selection(experiments=("one",)), "01234", id="name"),
            pytest.param(Selection(experiments=("id of gone",)), "9", id="id"),
            pytest.param(Selection(experiments=("o*", "g?ne")), "012349", id="globs"),
            pytest.param(Selection(experiments=("two",)), "", id="without runs"),
            pytest.param(Selection(runs=("1", "9")), "19", id="runs"),
            pytest.param(Selection(experiments=("gone",), runs=("9",)), "9", id="run of the experiment"),
            pytest.param(Selection(deleted=False), "0123", id="not deleted"),
            pytest.param(Selection(since_ms=1000), "12349", id="since is inclusive"),
            pytest.param(Selection(until_ms=2000), "01", id="until is exclusive"),
            pytest.param(Selection(since_ms=1000, until_ms=3000, experiments=("one",)), "12", id="window"),
        ],
    )
    def test_selection(self, subject: Subject, selection: Selection, runs: str) -> None:
        assert subject.names(subject.read(_there(subject, selection))) == sorted(runs)

    def test_experiments_come_with_their_runs_only_or_as_selected(self, subject: Subject) -> None:
        def kept(**selection: Any) -> list[str]:
            return subject.names_of_experiments(subject.read(_there(subject, Selection(**selection))))

        assert kept(experiments=("one", "two")) == ["one", "two"]
        assert kept(runs=("9",)) == ["gone"]
        assert kept(deleted=False) == ["one", "two"]

    @pytest.mark.parametrize(
        ("selection", "paths"),
        [
            pytest.param(Selection(artifacts=False), set(), id="none"),
            pytest.param(
                Selection(artifact_globs=("model/*",)), {"model/deep/big.bin", "model/é %41#?.txt"}, id="glob"
            ),
            pytest.param(Selection(artifact_globs=("*.txt", "empty")), {"model/é %41#?.txt", "empty"}, id="globs"),
            pytest.param(Selection(max_artifact_size=5), {"model/é %41#?.txt", "empty"}, id="size"),
            pytest.param(Selection(artifact_globs=("mod*",), max_artifact_size=4), set(), id="glob and size"),
        ],
    )
    def test_selection_of_artifacts(self, subject: Subject, selection: Selection, paths: set[str]) -> None:
        found = subject.read(selection)
        assert set(found.paths(subject.runs["0"])) == paths
        assert subject.names(found) == sorted(subject.runs)

    @pytest.mark.parametrize(
        "selection",
        [
            pytest.param(Selection(experiments=("one", "no such")), id="experiment"),
            pytest.param(Selection(experiments=("no such*",)), id="glob"),
            pytest.param(Selection(experiments=("gone",), deleted=False), id="deleted experiment"),
            pytest.param(Selection(runs=("1", "no such")), id="run"),
            pytest.param(Selection(runs=("9",), experiments=("one",)), id="run elsewhere"),
            pytest.param(Selection(runs=("4",), deleted=False), id="deleted run"),
            pytest.param(Selection(runs=("0",), since_ms=1), id="run before the window"),
        ],
    )
    def test_what_matches_nothing_is_refused_before_the_first_shard(
        self, subject: Subject, selection: Selection
    ) -> None:
        source = subject.make()
        source.facts()
        with pytest.raises(SelectionError):
            next(iter(source.plan(_there(subject, selection), Quiet())))
        source.close()


def _there(subject: Subject, selection: Selection) -> Selection:
    """Return a selection by the names of the test as one by those of the source."""
    experiments = tuple(
        subject.experiments[name.removeprefix("id of ")] if name.startswith("id of ") else subject.prefix + name
        for name in selection.experiments
    )
    runs = tuple(subject.runs.get(name, name) for name in selection.runs)
    return replace(selection, experiments=experiments, runs=runs)
