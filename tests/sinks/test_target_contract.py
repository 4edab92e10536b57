"""What every target must do, whether it is a server or a store."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pytest

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.sinks.replay import Target
from mlflow_archive.sinks.replay.target.target import DatasetInput, NewRun, TargetRun
from tests.sinks.conftest import Place

ODD_NAMES = ["a b.txt", "ünï/çödé.bin", "100%.txt", "plus+and&.txt", "deep/er/e=f.txt", "tilde~.txt"]


@pytest.fixture
def target(place: Place) -> Iterator[Target]:
    opened = place.open()
    opened.check()
    yield opened
    opened.close()


@pytest.fixture
def run(target: Target, place: Place) -> TargetRun:
    experiment_id = target.create_experiment(place.name, {"purpose": "contract"})
    new = NewRun(
        experiment_id=experiment_id, name="r", user_id="ada", start_time=1234567890123, tags={"who$": "me", "k": "v"}
    )
    return target.create_run(new)


class TestTarget:
    def test_experiment_is_listed_with_tags_and_stage(self, target: Target, place: Place) -> None:
        made = target.create_experiment(place.name, {"a": "b"})
        target.set_experiment_tag(made, "c", "d")
        target.delete_experiment(made)
        found = {found.experiment_id: found for found in target.experiments()}[made]
        assert (found.name, found.deleted, dict(found.tags)) == (place.name, True, {"a": "b", "c": "d"})
        target.restore_experiment(made)
        assert not {found.experiment_id: found for found in target.experiments()}[made].deleted

    def test_a_name_twice_is_refused(self, target: Target, place: Place) -> None:
        target.create_experiment(place.name, {})
        with pytest.raises(ServerError) as caught:
            target.create_experiment(place.name, {})
        assert caught.value.status == 400

    def test_run_keeps_what_it_is_created_with(self, target: Target, run: TargetRun) -> None:
        found = target.get_run(run.run_id)
        assert (found.name, found.user_id, found.start_time, found.status) == ("r", "ada", 1234567890123, "RUNNING")
        assert found.tags["who$"] == "me"
        assert found.end_time is None
        assert not found.deleted

    def test_batch_arrives(self, target: Target, run: TargetRun) -> None:
        metrics = [
            ("nan", math.nan, 1, 0),
            ("inf", math.inf, 1, 0),
            ("m", 0.1, 1, -5),
            ("m", 0.30000000000000004, 2, 7),
        ]
        for _ in range(2):
            target.log_batch(run.run_id, metrics=metrics, params=[("p", "ü")], tags={"t": ""})
        found = target.get_run(run.run_id)
        assert found.params == {"p": "ü"}
        assert found.tags["t"] == ""
        assert found.latest["m"] == ("m", 0.30000000000000004, 2, 7)
        assert math.isnan(found.latest["nan"][1])
        assert found.latest["inf"][1] > 1e308

    def test_refusal_has_a_status(self, target: Target, run: TargetRun) -> None:
        with pytest.raises(ServerError) as caught:
            target.log_batch(run.run_id, metrics=[], params=[("no$", "x")], tags={})
        assert caught.value.status == 400

    def test_inputs_arrive_once(self, target: Target, run: TargetRun) -> None:
        item = DatasetInput(
            name="d", digest="1", source_type="local", source="{}", schema=None, profile="{}", tags=(("k", "v"),)
        )
        for _ in range(2):
            target.log_inputs(run.run_id, [item])
        assert target.get_run(run.run_id).inputs == {("d", "1")}

    def test_status_end_and_stage(self, target: Target, run: TargetRun) -> None:
        target.update_run(run.run_id, status="KILLED", end_time=1234567890999, name=None)
        target.delete_tag(run.run_id, "k")
        target.delete_tag(run.run_id, "k")
        target.delete_run(run.run_id)
        found = target.get_run(run.run_id)
        assert (found.status, found.end_time, found.deleted) == ("KILLED", 1234567890999, True)
        assert "k" not in found.tags
        target.restore_run(run.run_id)
        assert not target.get_run(run.run_id).deleted

    def test_runs_are_found_by_tag_deleted_or_not(self, target: Target, run: TargetRun) -> None:
        target.delete_run(run.run_id)
        assert [found.run_id for found in target.tagged_runs(run.experiment_id, "k")] == [run.run_id]
        assert [found.run_id for found in target.tagged_runs(run.experiment_id, "k", "v")] == [run.run_id]
        assert not list(target.tagged_runs(run.experiment_id, "k", "it's"))
        assert not list(target.tagged_runs(run.experiment_id, "other"))

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_artifact_keeps_name_and_bytes(self, target: Target, run: TargetRun, place: Place, name: str) -> None:
        place_of_run = target.artifacts(run)
        place_of_run.put(name, io.BytesIO(b"\x00\xff" * 3), 6)
        place_of_run.put("empty", io.BytesIO(b""), 0)
        assert place_of_run.sizes() == {name: 6, "empty": 0}
        assert place.files(place.client().get_run(run.run_id)) == {name: b"\x00\xff" * 3, "empty": b""}

    @pytest.mark.parametrize("name", ["../up", "/etc/x", "a/../../b", "a//b", "", ".", "a/.", "nul\0"])
    def test_artifact_that_leaves_its_folder_is_refused(self, target: Target, run: TargetRun, name: str) -> None:
        with pytest.raises(ItemError, match="artifact path"):
            target.artifacts(run).put(name, io.BytesIO(b"x"), 1)
        assert target.artifacts(run).sizes() == {}

    @pytest.mark.parametrize("name", ["a#b.txt", "a%41b.txt", "q?x.txt", "p;a=1.txt", "%2e%2e%2fup"])
    def test_artifact_name_arrives_exactly_or_not_at_all(self, target: Target, run: TargetRun, name: str) -> None:
        where = target.artifacts(run)
        try:
            where.put(name, io.BytesIO(b"x"), 1)
        except ItemError as exc:
            assert "decodes names again" in str(exc)  # noqa: PT017 - one of two right outcomes
            assert where.sizes() == {}
        else:
            assert where.sizes() == {name: 1}
