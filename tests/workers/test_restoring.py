"""The artifact files of a restore by a process that is started anew, which gets all it needs as plain data."""

from __future__ import annotations

from pathlib import Path

import mlflow_archive as ma
from mlflow_archive.flow.report import Report
from mlflow_archive.sinks.restore import RestoreOptions
from tests.sinks.test_restore_files import files_below
from tests.support.memory_source import MemoryOptions, export


def test_a_process_restores_what_threads_restore(tmp_path: Path) -> None:
    export(tmp_path / "a.mlfa", MemoryOptions(runs=5, sizes=(30_000, 0, 300)))

    def restored(name: str, processes: int) -> Report:
        (tmp_path / name).mkdir()
        target = f"sqlite:///{tmp_path}/{name}/t.db"
        options = RestoreOptions(artifact_root=f"{tmp_path}/{name}/root", processes=processes)
        return ma.restore(tmp_path / "a.mlfa", target, options)

    by_threads, by_a_process = restored("threads", 0), restored("process", 1)
    assert by_a_process.counts == by_threads.counts
    assert files_below(tmp_path / "process/root") == files_below(tmp_path / "threads/root")
    assert len(files_below(tmp_path / "process/root")) == 15
