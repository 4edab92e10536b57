"""An export that was interrupted goes on; of what changed meanwhile, logged models and traces too, new rows count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, TABLES, TRACE
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.chunks import ChunkSource, chunk, experiment, table


class _InterruptedError(Exception):
    pass


class _Source(ChunkSource):
    """Gives what is not known yet; ``broken`` stops behind the first shard of entities."""

    broken = False

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        for each in super().read(shard, known):
            for row in each.tables["fingerprints"].to_pylist() if "fingerprints" in each.tables else ():
                if known(row["owner_kind"], row["owner_id"]) == row["fingerprint"]:
                    return
            if self.broken and shard.name == "2":
                raise _InterruptedError
            yield each


def _entity(kind: str, number: int, value: str) -> Chunk:
    identity, tags, key = ("traces", "trace_tags", "trace_id") if kind == TRACE else _MODELS
    owner = {key: f"id{number}"}
    row: dict[str, Any] = {
        **owner,
        "experiment_id": "1",
        "request_time": 1,
        "state": "OK",
        "name": "n",
        "status": "READY",
    }
    fingerprint = {"owner_id": f"id{number}", "owner_kind": kind, "fingerprint": value}
    rows = {identity: [row], tags: [{**owner, "key": "k", "value": value}], "fingerprints": [fingerprint]}
    return Chunk(tables={name: table(name, found) for name, found in rows.items()})


_MODELS = ("logged_models", "logged_model_tags", "model_id")


@pytest.mark.parametrize("kind", [TRACE, LOGGED_MODEL])
@pytest.mark.parametrize("changed", [False, True])
def test_changed_meanwhile(kind: str, changed: bool, tmp_path: Path) -> None:
    options = ArchiveOptions(seal_seconds=0.0, jobs=1)
    experiments = chunk(experiments=[experiment("1", "one")])

    def source(value: str) -> _Source:
        return _Source((0, [experiments]), (1, [_entity(kind, 1, value)]), (2, [_entity(kind, 2, "a")]))

    first = source("a")
    first.broken = True
    with pytest.raises(_InterruptedError):
        copy(first, ArchiveSink(tmp_path / "a", options, tool="t 1", clock_ms=lambda: 0), jobs=1)
    copy(source("b" if changed else "a"), ArchiveSink(tmp_path / "a", options, tool="t 1", clock_ms=lambda: 0), jobs=1)
    with open_archive(tmp_path / "a") as archive:
        tags = archive.table("trace_tags" if kind == TRACE else "logged_model_tags").to_pylist()
        assert [(row["key"], row["value"]) for row in tags] == [("k", "b" if changed else "a"), ("k", "a")]
        assert archive.table("fingerprints").num_rows == 2


def test_of_kinds_that_come_whole_each_time_nothing_of_the_try_before_comes_back(tmp_path: Path) -> None:
    """What was removed at the source between the two tries: an alias, a tag of a model and one of an experiment."""
    options = ArchiveOptions(seal_seconds=0.0, jobs=1)

    def model(number: int, **rows: list[dict[str, Any]]) -> Chunk:
        name = {"workspace": "default", "name": f"m{number}"}
        tables = {"registered_models": [name], **rows}
        return Chunk(tables={key: table(key, [{**name, **row} for row in tables[key]]) for key in tables})

    def experiments(*keys: str) -> Chunk:
        tags = [{"experiment_id": "1", "key": key, "value": "v"} for key in keys]
        return chunk(experiments=[experiment("1", "one")], experiment_tags=tags)

    aliases, tags = [{"alias": "gone", "version": 1}], [{"key": "gone", "value": "v"}]
    before = model(1, registered_model_aliases=aliases, registered_model_tags=tags)
    first = _Source((0, [experiments("stays", "gone")]), (1, [before]), (2, [model(2)]))
    first.broken = True
    with pytest.raises(_InterruptedError):
        copy(first, ArchiveSink(tmp_path / "a", options, tool="t 1", clock_ms=lambda: 0), jobs=1)
    second = _Source((0, [experiments("stays")]), (1, [model(1)]), (2, [model(2)]))
    copy(second, ArchiveSink(tmp_path / "a", options, tool="t 1", clock_ms=lambda: 0), jobs=1)
    with open_archive(tmp_path / "a") as archive:
        assert archive.table("registered_models")["name"].to_pylist() == ["m1", "m2"]
        assert archive.table("experiment_tags")["key"].to_pylist() == ["stays"]
        for name in ("registered_model_aliases", "registered_model_tags"):
            assert TABLES[name].entity == REGISTERED_MODEL
            assert archive.table(name).num_rows == 0, name
