"""Archives to damage, small enough to damage them often."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlflow_archive.repairing.repair import RepairOptions, RepairReport
from mlflow_archive.repairing.repair import repair as repair_from
from mlflow_archive.storage.files import Files
from mlflow_archive.verification.checks import verify
from tests.support.damage import files_of
from tests.support.memory_source import START_MS, MemoryOptions, export

LONG = os.environ.get("TEST_REPAIR") == "1"
"""Whether ``make test-repair`` asks."""

BEFORE = MemoryOptions(runs=6, points=5, sizes=(600, 0, 3000), gaps=frozenset({2}), runs_per_shard=2)
AFTER = MemoryOptions(
    runs=8, points=5, sizes=(600, 0, 3000), gaps=frozenset({2}), changed=frozenset({1}), runs_per_shard=2
)


def repair(
    archive: Path, output: Path, *, copies: Sequence[Path] = (), salvage: bool = False, files: Files | None = None
) -> RepairReport:
    """Repair, as a program of a fixed name and time."""
    options = RepairOptions(tool="test 1", clock_ms=lambda: START_MS, salvage=salvage)
    return repair_from(archive, output, copies=copies, options=options, files=files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an archive of two exports in both forms: ``a`` and ``a.mlfa``."""
    folder = tmp_path_factory.mktemp("whole")
    export(folder / "a", BEFORE)
    export(folder / "a", AFTER, append=True)
    repair(folder / "a", folder / "a.mlfa")
    return folder


def hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of an archive of either form."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files_of(path)}


def remove(path: Path) -> None:
    """Remove an archive of either form."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_whole(report: RepairReport, path: Path, expected: Path) -> None:
    """Check that a repair gave the very bytes of an archive of the same form."""
    assert report.written_id == report.archive_id
    assert report.complete
    assert {Path(name).relative_to(path): found for name, found in hashes(path).items()} == {
        Path(name).relative_to(expected): found for name, found in hashes(expected).items()
    }
    assert verify(path).problems == []
