"""Export a database with the files of its logged models and versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlparse

from mlflow_archive.copy import copy
from mlflow_archive.pipeline import ArtifactFile, Chunk, Known, Shard
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.support.mlflow_server import MlflowServer


def export_with_files(server: MlflowServer, path: Path) -> Path:
    source = locate_source(server.backend, artifacts_destination=str(server.artifacts))
    copy(_WithFiles(source, server.artifacts), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    return path


class _WithFiles:
    def __init__(self, source: Any, root: Path) -> None:
        self._source, self._root = source, root

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        for chunk in self._source.read(shard, known):
            files = [*chunk.artifacts]
            if "logged_models" in chunk.tables and not any(f.owner_kind == "logged_model" for f in files):
                for row in chunk.tables["logged_models"].to_pylist():
                    files += _files(
                        "logged_model", row["model_id"], self._root / urlparse(row["artifact_location"]).path[1:]
                    )
            if "model_versions" in chunk.tables and not any(f.owner_kind == "registered_model" for f in files):
                for row in chunk.tables["model_versions"].to_pylist():
                    if re.match("file:", row["source"] or ""):
                        folder = Path(unquote(urlparse(row["source"]).path))
                        files += _files("registered_model", row["name"], folder, f"{row['version']}/")
            yield replace(chunk, artifacts=files)


def _files(kind: str, owner: str, folder: Path, prefix: str = "") -> Iterator[ArtifactFile]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():

            @contextmanager
            def opened(file: Path = file) -> Iterator[BinaryIO]:
                with file.open("rb") as stream:
                    yield stream

            yield ArtifactFile(
                owner_kind=kind,
                owner_id=owner,
                path=prefix + file.relative_to(folder).as_posix(),
                size=file.stat().st_size,
                open=opened,
            )
