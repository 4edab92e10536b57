"""Join deltas to their base: one archive, with every member byte for byte (spec/format.md, "Deltas").

It is what the exports would have made that added to the base in place, with the same archive id.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.reader.stored.joined import joined_members, place_of
from mlflow_archive.reader.stored.opening import OpenedManifest, open_members, read_manifest
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import MemberFile, Members
from mlflow_archive.writer.base import refuse_inside
from mlflow_archive.writer.destination import destination


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReport:
    """What was joined: the archive id of the base and of what was written, its exports, members and their bytes."""

    base: str
    archive_id: str
    exports: int
    members: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def join(
    base: str | os.PathLike[str],
    deltas: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    files: Files | None = None,
) -> JoinReport:
    """Write the archive that a base and deltas of it make, in their order; none of these is changed.

    Each member must have the SHA-256 of its manifest. Raises SelectionError for a delta of something else than what
    those before it make, DamagedError, NotAnArchiveError, FormatTooNewError, TargetError; then nothing was written.
    """
    inputs, path = [Path(base), *map(Path, deltas)], Path(output)
    refuse_inside(path, inputs)
    if not deltas:
        raise SelectionError("a join takes a base and at least one delta of it")
    with ExitStack() as stack:
        members, opened = _opened(inputs[0], stack)
        base_id = opened.archive_id
        for place in inputs[1:]:
            members, opened = joined_members(members, opened, *_opened(place, stack))
        sizes = {member.path: member.size for member in opened.manifest.members}
        target = stack.enter_context(destination(path, files or Files()))
        listener = progress or Quiet()
        listener.expect("bytes", sum(sizes.values()))

        def member(name: str) -> MemberFile:
            listener.advance("bytes", sizes.get(name, 0))
            return members.open(name)

        try:
            target.write(opened.manifest, member)
        except DamagedError as error:
            raise error.of(place_of(members, error.member)) from error
    return JoinReport(
        base=base_id,
        archive_id=opened.archive_id,
        exports=opened.manifest.export_number,
        members=len(sizes),
        bytes=sum(sizes.values()),
    )


def _opened(path: Path, stack: ExitStack) -> tuple[Members, OpenedManifest]:
    try:
        members: Members = stack.enter_context(closing(open_members(path)))
        return members, read_manifest(members)
    except DamagedError as error:
        raise error.of(path) from error
