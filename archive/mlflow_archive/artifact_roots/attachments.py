"""Attachments of traces: files beside the payload, which the spans name by ``mlflow-attachment://ID?…``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, Protocol

from mlflow_archive.flow.chunk import ArtifactUnreadableError, Gap
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.kinds import TRACE

FOLDER: Final = "attachments/"
_PAYLOADS: Final = ("traces.json", "traces.pb")
_NAMED: Final = re.compile(rb"mlflow-attachment://([0-9A-Za-z-]+)\?([^\s\"'\\\x00-\x1f]*)")
_BLOCK: Final = 1 << 20
_LONGEST: Final = 4096
"""So many bytes of a block are searched again with the next, for a name that lies across both."""


class _File(Protocol):
    @property
    def path(self) -> str: ...

    def open(self) -> AbstractContextManager[BinaryIO]: ...


def attachments_in(payload: bytes, trace_id: str) -> list[str]:
    """Return the artifact paths of the attachments that spans of a trace name; those of other traces are not its own.

    ``payload`` is the JSON or protobuf of spans.
    """
    own = f"trace_id={trace_id}".encode()
    paths = (FOLDER + name.decode("ascii") for name, query in _NAMED.findall(payload) if own in query.split(b"&"))
    return list(dict.fromkeys(paths))


def attachments_in_files(files: Iterable[_File], trace_id: str) -> list[str]:
    """Return the artifact paths of the attachments that payloads among the files of a trace name."""
    paths: dict[str, None] = {}
    for file in files:
        if file.path not in _PAYLOADS:
            continue
        try:
            with file.open() as stream:
                for block in _blocks(stream):
                    paths.update(dict.fromkeys(attachments_in(block, trace_id)))
        except ArtifactUnreadableError:
            continue  # reported when the file itself is carried
    return list(paths)


def missing_attachments(paths: Iterable[str], listed: Collection[str], trace_id: str) -> list[Gap]:
    """Return a gap for each path of an attachment that is not among those listed."""
    reason = "a span names it, but it is not there"
    return [
        Gap(owner_kind=TRACE, owner_id=trace_id, path=path, code=ARTIFACT_MISSING, reason=reason)
        for path in paths
        if path not in listed
    ]


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    tail = b""
    while block := stream.read(_BLOCK):
        yield tail + block
        tail = (tail + block)[-_LONGEST:]
