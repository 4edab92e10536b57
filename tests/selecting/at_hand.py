"""A small catalog, for tests of what a selection takes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.kinds import RUN
from mlflow_archive.selecting.catalog import Where, dependencies_in, related_in, rows_from
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies

M3: Final = "m-" + "3" * 32


def rows(columns: str, *values: str) -> list[dict[str, Any]]:
    """Return rows from words: ``-`` is null, ``MODEL`` the id of m3, digits are numbers but for ids of experiments."""

    def cell(name: str, word: str) -> Any:
        number = word.isdigit() and name != "experiment_id"
        return None if word == "-" else int(word) if number else word.strip("'").replace("MODEL", M3)

    names = columns.split()
    return [{name: cell(name, word) for name, word in zip(names, row.split(), strict=True)} for row in values]


TABLES: Final[dict[str, list[dict[str, Any]]]] = {
    "workspaces": rows("name", "default", "other", "empty"),
    "experiments": rows(
        "experiment_id name lifecycle_stage workspace",
        "1 one active default",
        "2 two active other",
        "3 gone deleted other",
    ),
    "runs": rows(
        "run_id experiment_id start_time lifecycle_stage artifact_uri",
        "a 1 100 active s3://a",
        "b 1 200 active s3://b",
        "c 2 300 deleted s3://c",
        "d 2 - - s3://d",
        "e 3 100 active s3://e",
    ),
    "tags": rows(
        "run_id key value", "b mlflow.parentRunId a", "c mlflow.parentRunId b", "a other c", "e mlflow.parentRunId a"
    ),
    "logged_models": rows(
        "model_id experiment_id source_run_id lifecycle_stage artifact_location",
        "m1 1 a - s3://m1",
        "m2 1 '' - s3://m2",
        "MODEL 2 c - s3://m3",
        "m4 2 - - s3://m4",
    ),
    "model_inputs": rows("run_id model_id", "b m1"),
    "model_outputs": rows("run_id model_id", "d MODEL"),
    "traces": rows("trace_id experiment_id request_time", "t1 1 150", "t2 2 250", "t3 2 -", "t4 3 150"),
    "trace_links": rows("trace_id destination_id", "t1 b", "t1 x"),
    "trace_metadata": rows("trace_id key value", "t2 mlflow.sourceRun b", "t3 other b"),
    "registered_models": rows("name workspace", "churn default", "greet other"),
    "registered_model_tags": rows(
        "name workspace key value",
        "greet other mlflow.prompt.is_prompt True",
        "greet other _mlflow_experiment_ids ,2,",
        "churn default mlflow.prompt.is_prompt no",
    ),
    "registered_model_aliases": rows("name workspace alias version", "churn default best 2"),
    "model_versions": rows(
        "name workspace version source storage_location run_id current_stage",
        "churn default 1 runs:/a/model - a None",
        "churn default 2 models:/MODEL - - Staging",
        "greet other 1 - - - -",
    ),
    "evaluation_datasets": rows("dataset_id name workspace", "d1 evals other", "d2 none default"),
    "evaluation_dataset_experiments": rows("dataset_id experiment_id", "d1 2", "d1 9"),
    "webhooks": rows("webhook_id name", "w1 hook"),
}
"""Run d has neither time nor stage; nothing can be read of it. Run e lies in an experiment that is deleted."""


class CatalogAtHand:
    """A catalog of rows, as sources have one, which gives some at a time."""

    place = "here"

    def __init__(self, piece_rows: int = 1) -> None:
        self._piece_rows = piece_rows

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        found = rows_from(table, TABLES.get(table, []), columns, where)
        for at in range(0, found.num_rows, self._piece_rows):
            yield found.slice(at, self._piece_rows)
            yield found.slice(0, 0)

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        return dependencies_in(self, names, versions)

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        return related_in(self, runs, children=children)

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        return {"d", "broken"} & set(ids) if kind == RUN else ()
