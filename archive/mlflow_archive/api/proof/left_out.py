"""Which objects of an archive an import does not bring, by rule (spec/replay.md)."""

from __future__ import annotations

from functools import cached_property

from mlflow_archive.kinds import DATASET, DEFAULT_WORKSPACE, WEBHOOK, WORKSPACE
from mlflow_archive.reader.archive import Archive
from mlflow_archive.sinks.replay.writing.rows import Row


class LeftOut:
    """Says which objects do not come: datasets that are no run's input, deleted webhooks, the default workspace.

    Without ``workspaces`` no workspace comes: the target has none, or all went into one.
    """

    def __init__(self, archive: Archive, *, workspaces: bool) -> None:
        self._archive, self._workspaces = archive, workspaces

    def holds(self, kind: str, row: Row) -> bool:
        """Return whether the object of a row of the archive is left out."""
        if kind == DATASET:
            return (row["experiment_id"], row["name"], row["digest"]) not in self._inputs
        if kind == WEBHOOK:
            return row["deleted_timestamp"] is not None
        return kind == WORKSPACE and (row["name"] == DEFAULT_WORKSPACE or not self._workspaces)

    @cached_property
    def _inputs(self) -> set[tuple[str, str, str]]:
        """The datasets that runs have as inputs."""
        inputs: dict[str, list[tuple[str, str]]] = {}
        for rows in self._archive.batches("dataset_inputs", columns=["run_id", "dataset_name", "dataset_digest"]):
            for row in rows.to_pylist():
                inputs.setdefault(row["run_id"], []).append((row["dataset_name"], row["dataset_digest"]))
        experiments: dict[str, str] = {}
        for rows in self._archive.batches("runs", columns=["run_id", "experiment_id"]):
            pairs = zip(rows["run_id"].to_pylist(), rows["experiment_id"].to_pylist(), strict=True)
            experiments.update((run, experiment) for run, experiment in pairs if run in inputs)
        return {(experiments.get(run, ""), *edge) for run, edges in inputs.items() for edge in edges}
