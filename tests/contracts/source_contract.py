"""What every source does, whatever it reads: each entity once, schemas kept, selections kept, order free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Shard, nothing_known
from mlflow_archive.flow.copy import chunks_of
from mlflow_archive.flow.report import Quiet
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import IDENTITIES, RUN
from mlflow_archive.selecting.selection import Selection
from tests.support.mlruns import Dataset as StoreDataset
from tests.support.mlruns import DatasetInput, Experiment, Point, Run, Store
from tests.support.reading import Read, content, read_source

PARENT = "a" * 32
CHILD = "b" * 32
DELETED = "c" * 32
OTHER = "d" * 32
DATASET = StoreDataset(name="iris", digest="d1")


def example(prefix: str) -> Store:
    """Return two experiments with nested and deleted runs; names start with ``prefix``."""
    runs = (
        Run(
            run_id=PARENT,
            name="parent",
            start_time=1_000_000,
            params={"p/ü": "a\nb"},
            tags={"mlflow.runName": "parent"},
            metrics=(Point(key="m", value=float("nan")), Point(key="m", value=0.5, step=-1)),
            artifacts={"a b.txt": b"spaces", "deep/er/empty": b"", "big.bin": b"x" * 5000},
            inputs=(DatasetInput(dataset=DATASET, tags={"context": "train"}),),
        ),
        Run(
            run_id=CHILD,
            name="child",
            start_time=2_000_000,
            tags={"mlflow.runName": "child", "mlflow.parentRunId": PARENT},
        ),
        Run(run_id=DELETED, name="deleted", start_time=3_000_000, deleted=True, tags={"mlflow.runName": "deleted"}),
    )
    other = Run(run_id=OTHER, name="other", start_time=4_000_000, tags={"mlflow.runName": "other"})
    return Store(
        experiments=(
            Experiment(experiment_id="1", name=f"{prefix}one", tags={"team": "x"}, runs=runs),
            Experiment(experiment_id="2", name=f"{prefix}two", runs=(other,)),
        )
    )


class SourceContract:
    """Inherit and implement ``made``: a new source of :func:`example`; ``ids`` are its run ids by run name.

    ``prefix`` is that of the experiments' names; a source may hold others beside them.
    """

    prefix = ""
    ids: dict[str, str]

    def made(self) -> Source:
        raise NotImplementedError

    def read(self, selection: Selection | None = None, known: Callable[[str, str], str | None] = nothing_known) -> Read:
        return read_source(self.made(), selection or self.all(), known)

    def all(self) -> Selection:
        return Selection(experiments=(f"{self.prefix}*",))

    def names(self, **selected: object) -> set[str]:
        selected.setdefault("experiments", (f"{self.prefix}*",))
        return {row["run_name"] for row in self.read(Selection(**selected)).tables["runs"]}  # type: ignore[arg-type]

    def test_facts_come_first_and_hold_no_credentials(self) -> None:
        with closing(self.made()) as source:
            facts = source.facts()
            assert facts.kind
            assert "@" not in facts.uri
            assert source.facts() == facts

    def test_each_entity_comes_once_and_as_it_is(self) -> None:
        read = self.read()
        names = [row["run_name"] for row in read.tables["runs"]]
        assert sorted(names) == ["child", "deleted", "other", "parent"]
        assert {row["name"] for row in read.tables["experiments"]} == {f"{self.prefix}one", f"{self.prefix}two"}
        parent = self.ids["parent"]
        assert [row["value"] for row in read.rows("params", run_id=parent)] == ["a\nb"]
        assert sorted((row["step"], repr(row["value"])) for row in read.rows("metrics")) == [(-1, "0.5"), (0, "nan")]
        assert [(row["dataset_name"], row["value"]) for row in read.tables["dataset_input_tags"]] == [("iris", "train")]
        assert {file.path: content(file) for file in read.artifacts} == {
            "a b.txt": b"spaces",
            "deep/er/empty": b"",
            "big.bin": b"x" * 5000,
        }
        assert read.tables["gaps"] == []

    def test_stages_ascend_and_weights_count_objects(self) -> None:
        read = self.read()
        stages = [shard.stage for shard in read.shards]
        assert stages == sorted(stages)
        weights: Counter[str] = Counter()
        for shard in read.shards:
            weights[shard.kind] += shard.weight
        assert weights[RUN] == 4
        for kind, weight in weights.items():
            assert weight in (0, len(read.tables[IDENTITIES[kind].name])), kind

    def test_what_is_referred_to_comes_in_an_earlier_stage(self) -> None:
        read = self.read()
        assert {kind for _, kinds in read.stages for kind in kinds} >= {"experiment", "dataset", "run"}
        assert read.too_late() == set()

    def test_the_order_of_shards_does_not_matter(self) -> None:
        """Within a source; the plan is an iterator, and gives shards one by one."""
        whole = {repr(sorted(row.items())) for row in self.read().tables["runs"]}
        for order in (list[Shard], reversed):
            with closing(self.made()) as source:
                source.facts()
                plan = source.plan(self.all(), Quiet())
                assert isinstance(plan, Iterator)
                shards = [next(plan), *plan]
                chunks = [chunk for shard in order(shards) for chunk in chunks_of(source, shard, nothing_known)]
                found = Read()
                for chunk in chunks:
                    if "runs" in chunk.tables:
                        found.tables["runs"] += chunk.tables["runs"].to_pylist()
                assert len(found.tables["runs"]) == len(whole)

    def test_fingerprints_are_stable_and_skip_what_is_known(self) -> None:
        def prints(read: Read) -> dict[str, str]:
            return {row["owner_id"]: row["fingerprint"] for row in read.tables["fingerprints"]}

        held = prints(self.read())
        assert set(held) == set(self.ids.values())
        assert prints(self.read()) == held
        del held[self.ids["child"]]
        held[self.ids["other"]] = "another"
        again = self.read(known=lambda kind, key: held.get(key) if kind == RUN else None)
        assert {row["run_name"] for row in again.tables["runs"]} == {"child", "other"}
        assert again.tables["metrics"] == []
        assert again.artifacts == []

    def test_runs_are_selected(self) -> None:
        assert self.names(experiments=(f"{self.prefix}one",)) == {"parent", "child", "deleted"}
        assert self.names(experiments=(f"{self.prefix}t?o",)) == {"other"}
        assert self.names(runs=(self.ids["child"],)) == {"child"}
        assert self.names(deleted=False) == {"parent", "child", "other"}
        assert self.names(since_ms=2_000_000, until_ms=4_000_000) == {"child", "deleted"}

    def test_artifacts_are_selected(self) -> None:
        def paths(**selected: object) -> set[str]:
            selection = Selection(experiments=(f"{self.prefix}*",), **selected)  # type: ignore[arg-type]
            return {file.path for file in self.read(selection).artifacts}

        assert paths(artifacts=False) == set()
        assert paths(artifact_globs=("deep*", "*.txt")) == {"deep/er/empty", "a b.txt"}
        assert paths(max_artifact_size=6) == {"deep/er/empty", "a b.txt"}

    @pytest.mark.parametrize("selected", [{"experiments": ("no such",)}, {"runs": ("e" * 32,)}])
    def test_an_unknown_name_is_refused_before_the_first_shard(self, selected: dict[str, tuple[str, ...]]) -> None:
        with closing(self.made()) as source:
            source.facts()
            with pytest.raises(SelectionError, match=r"no such|e{32}"):
                next(source.plan(Selection(**selected), Quiet()))  # type: ignore[arg-type]

    def test_artifacts_open_again_and_from_threads(self) -> None:
        with closing(self.made()) as source:
            source.facts()
            shards = list(source.plan(self.all(), Quiet()))
            chunks = [chunk for shard in shards for chunk in chunks_of(source, shard, nothing_known)]
            files = [file for chunk in chunks for file in chunk.artifacts] * 4
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(content, files))
            assert [len(data) for data in found] == [file.size for file in files]
