"""An archive of three exports, a day between them: what was there after each is known."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from mlflow_archive.flow.copy import copy
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.damage import copied
from tests.support.memory_source import Content, MemoryOptions, MemorySource, content_of
from tests.support.session_folder import made_once

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
    """Return the archive of all days at a path, in the form of its name; it is made once a session."""
    chain = _chain(path.suffix)
    return replace(chain, path=copied(chain.path, path))


@cache
def _chain(suffix: str) -> Chain:
    folder = made_once(f"three-exports{suffix}", lambda folder: _make(folder, suffix))
    contents, ids = pickle.loads((folder / "states").read_bytes())  # noqa: S301 - our own
    return Chain(folder / f"a{suffix}", contents, ids)


def _make(folder: Path, suffix: str) -> None:
    folder.mkdir()
    path, contents, ids = folder / f"a{suffix}", [], []
    for day in range(len(DAYS)):
        export(path, day, ArchiveOptions(append=day > 0))
        contents.append(content_of(path))
        ids.append(verify(path, "quick").archive_id)
    (folder / "states").write_bytes(pickle.dumps((contents, ids)))
