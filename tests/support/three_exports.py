"""An archive of three exports, a day between them: what was there after each is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlflow_archive.flow.copy import copy
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.memory_source import Content, MemoryOptions, MemorySource, content_of

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
FIRST = MemoryOptions(runs=4, sizes=(300,), gaps=frozenset({3}))
DAYS = (
    FIRST,
    replace(FIRST, runs=5, changed=frozenset({1}), gaps=frozenset()),
    replace(FIRST, runs=6, changed=frozenset({1, 2}), experiment_tags={"team": "text"}),
)
"""What the source held at noon of three days, the first of them NOON's."""


@dataclass(frozen=True)
class Chain:
    """An archive of three exports, with its content and archive id as each left it."""

    path: Path
    contents: list[Content]
    ids: list[str]


def export(path: Path, day: int, options: ArchiveOptions) -> None:
    made = int((NOON + timedelta(days=day)).timestamp() * 1000)
    copy(MemorySource(DAYS[day]), ArchiveSink(path, options, tool="test 1", clock_ms=lambda: made), jobs=1)


def chain_at(path: Path) -> Chain:
    """Make the archive of all days."""
    contents, ids = [], []
    for day in range(len(DAYS)):
        export(path, day, ArchiveOptions(append=day > 0))
        contents.append(content_of(path))
        ids.append(verify(path, "quick").archive_id)
    return Chain(path, contents, ids)
