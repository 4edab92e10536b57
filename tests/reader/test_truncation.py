"""A single file cut at any byte is refused with a code, never with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import ArchiveError, NotAnArchiveError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from tests.support.memory_source import MemoryOptions, export


@pytest.mark.timeout(120)  # thousands of archives
def test_every_length(tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    export(path, MemoryOptions(runs=2, sizes=(10,)))
    size = path.stat().st_size
    open_archive(path).close()
    with path.open("r+b") as file:
        for length in range(size - 1, -1, -1):
            file.truncate(length)
            with pytest.raises(ArchiveError, match=r"^E0\d\d: ") as caught:
                open_archive(path)
            assert isinstance(caught.value, NotAnArchiveError) or length > 0
            if length % 997 == 0:
                with pytest.raises(ArchiveError, match=r"^E0\d\d: "):
                    verify(path)
