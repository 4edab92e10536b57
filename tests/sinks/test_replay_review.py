"""Issues, scorers, label schemas and review queues, from a real server's database into another real server."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from mlflow_archive.format.refusals import SECRET_NEEDED
from tests.sinks.filled_servers import Both, Rows, get

REVIEW = ("issue", "label_schema", "review_queue")


def _without(rows: Rows, *names: str) -> Rows:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


class TestIssues:
    OURS = ("issue_id", "experiment_id", "created_timestamp", "last_updated_timestamp", "source_run_id")

    def _listed(self, both: Both, side: int) -> Rows:
        server = (both.source, both.target)[side]
        body = {"experiment_id": both.main[side], "max_results": 100}
        found: Rows = server.send("POST", "3.0/mlflow/issues/search", body)["issues"]
        return sorted(found, key=lambda issue: (issue["name"], issue["created_timestamp"], issue["issue_id"]))

    def test_every_field_is_kept(self, both: Both) -> None:
        source, target = self._listed(both, 0), self._listed(both, 1)
        assert [issue["name"] for issue in source] == ["Bare", "Slow ü", "Twin", "Twin"]
        assert _without(target, *self.OURS) == _without(source, *self.OURS)
        runs = [both.ids("run")[issue["source_run_id"]] for issue in source if "source_run_id" in issue]
        assert [issue["source_run_id"] for issue in target if "source_run_id" in issue] == runs

    def test_each_has_an_id_of_its_own(self, both: Both) -> None:
        ids = both.ids("issue")
        assert sorted(ids) == sorted(issue["issue_id"] for issue in self._listed(both, 0))
        assert sorted(ids.values()) == sorted(issue["issue_id"] for issue in self._listed(both, 1))

    def test_what_cannot_be_set_is_in_the_receipt(self, both: Both) -> None:
        kept: Any = both.reports[0].details["kept_here_only"]
        for issue in self._listed(both, 0):
            assert kept["issue"][issue["issue_id"]]["created_timestamp"] == issue["created_timestamp"]


class TestScorers:
    def _versions(self, both: Both, side: int, name: str) -> list[tuple[int, Any]]:
        server = (both.source, both.target)[side]
        found = get(server, "scorers/versions", experiment_id=both.main[side], name=name)["scorers"]
        return [(version["scorer_version"], json.loads(version["serialized_scorer"])) for version in found]

    @pytest.mark.parametrize(("name", "numbers"), [("judge ü", [1, 2, 3]), ("other", [1]), ("gappy", [2, 4])])
    def test_versions_keep_number_and_text(self, both: Both, name: str, numbers: list[int]) -> None:
        source = self._versions(both, 0, name)
        assert [number for number, _ in source] == numbers
        assert self._versions(both, 1, name) == source

    def test_one_without_an_endpoint_keeps_every_character(self, both: Both) -> None:
        texts = [
            [
                v["serialized_scorer"]
                for v in get(server, "scorers/versions", experiment_id=main, name="gappy")["scorers"]
            ]
            for server, main in zip((both.source, both.target), both.main, strict=True)
        ]
        assert texts[0] == texts[1]

    def test_one_in_a_deleted_experiment_comes_too(self, both: Both) -> None:
        scorer = both.ids("scorer")[both.filled.evaluation.scorers["lost"]]
        with sqlite3.connect(both.target_server.database) as database:
            query = "SELECT scorer_name, experiment_id FROM scorers WHERE scorer_id = ?"
            name, experiment = database.execute(query, [scorer]).fetchone()
        gone = both.filled.runs.experiments["gone"]
        assert (name, str(experiment)) == ("lost", both.ids("experiment")[gone])

    def test_automatic_scoring_is_switched_off_and_told(self, both: Both) -> None:
        source = both.filled.evaluation.scorers["judge ü"]
        asked = {"scorer_ids": both.ids("scorer")[source]}
        (config,) = get(both.target, "scorers/online-configs", **asked)["configs"]
        assert (config["sample_rate"], config["filter_string"]) == (0.0, "attributes.status = 'OK'")
        told: Any = both.reports[1].details
        assert told["changed"]["automatic_scoring_switched_off"] == 1
        assert any("'judge ü' is switched off" in note and "0.25" in note for note in told["notes"])

    def test_they_wait_for_the_secret_of_their_endpoint(self, both: Both) -> None:
        ((code, _, reason),) = both.refusals(0, "scorer")
        assert code == SECRET_NEEDED
        assert reason.startswith("3 scorers ('judge ü', 'lost', 'other'): no archive holds secrets; enter 'key' in")
        assert both.outcomes(0, "scorer") == {"created": 1, "refused": 3}
        assert both.outcomes(1, "scorer") == {"created": 3, "skipped": 1}


class TestLabelSchemas:
    OURS = ("schema_id", "experiment_id", "created_at", "last_updated_at")

    def _listed(self, both: Both, side: int) -> Rows:
        server = (both.source, both.target)[side]
        found: Rows = get(server, "label-schemas/list", experiment_id=both.main[side], max_results="100")[
            "label_schemas"
        ]
        return sorted(found, key=lambda schema: str(schema["name"]))

    def test_every_field_is_kept(self, both: Both) -> None:
        source, target = self._listed(both, 0), self._listed(both, 1)
        assert [schema["name"] for schema in source] == ["Feedback", "colour", "grade", "ok", "words"]
        assert _without(target, *self.OURS) == _without(source, *self.OURS)
        ids = both.ids("label_schema")
        assert [ids[schema["schema_id"]] for schema in source] == [schema["schema_id"] for schema in target]


class TestReviewQueues:
    OURS = ("queue_id", "experiment_id", "creation_time_ms", "last_update_time_ms", "schema_ids")
    ITEM = ("queue_id", "creation_time_ms", "last_update_time_ms", "completed_time_ms")

    def _listed(self, both: Both, side: int) -> Rows:
        server = (both.source, both.target)[side]
        found: Rows = get(server, "review-queues/list", experiment_id=both.main[side], max_results="9")["review_queues"]
        return sorted(found, key=lambda queue: str(queue["name"]))

    def test_every_field_is_kept(self, both: Both) -> None:
        source, target = self._listed(both, 0), self._listed(both, 1)
        assert [queue["name"] for queue in source] == ["Default question", "First Look ü", "carol"]
        assert _without(target, *self.OURS) == _without(source, *self.OURS)
        schemas = both.ids("label_schema")
        for queue, other in zip(source, target, strict=True):
            assert sorted(schemas[s] for s in queue.get("schema_ids", [])) == sorted(other.get("schema_ids", []))

    def test_items_keep_their_status(self, both: Both) -> None:
        seen: dict[str, str] = {}
        for queue in self._listed(both, 0):
            sides = ((both.source, queue["queue_id"]), (both.target, both.ids("review_queue")[queue["queue_id"]]))
            source, target = (
                sorted(
                    get(server, "review-queues/items/list", queue_id=queue_id, max_results="9").get("items", []),
                    key=lambda item: str(item["item_id"]),
                )
                for server, queue_id in sides
            )
            assert _without(target, *self.ITEM) == _without(source, *self.ITEM)
            seen |= {item["status"]: item.get("completed_by", "") for item in source}
        assert seen == {"COMPLETE": "ada", "DECLINED": "ada", "PENDING": ""}


@pytest.mark.parametrize("kind", REVIEW)
def test_a_second_import_changes_nothing(both: Both, kind: str) -> None:
    first, last = both.outcomes(0, kind), both.outcomes(2, kind)
    assert set(last) == {"skipped"}
    assert last["skipped"] == first["created"]
