"""Versions of a skill in the target, with the numbers they have at the source.

MLflow numbers them itself, one above the highest, and a deleted one, which it does not show, keeps its number. So they
are made in order, and where the source has a gap a filler is made and deleted. A tag of the skill holds the highest
number that an import gave to a filler. Every version is made as a draft, which is the only one that can be deleted, and
gets its status when its number is right.
"""

from __future__ import annotations

import gzip
import io
import json
import secrets
import tarfile
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.kinds.skills import UPLOADS
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.object_writer import ObjectRows
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.failures import is_missing, once
from mlflow_archive.sinks.replay.writing.rows import Row

HIGHEST: Final = OWN_PREFIX + "highest_version"
_FILLER: Final = "https://mlflow-archive.invalid/filler.git"
_SOURCE: Final = ("source_type", "source", "ref", "subpath")
_DRAFT, _ACTIVE, _DEPRECATED, _DELETED = "draft", "active", "deprecated", "deleted"
_LARGEST_UPLOAD: Final = 1 << 30
"""In bytes; MLflow's own limit is 25 MiB where nobody has set another."""


class SkillVersions:
    """The versions of one skill under way. ``base`` is the path of the skill, ``highest`` what HIGHEST says.

    ``of_source`` are those of the source that are not deleted, in the order of their numbers.
    """

    def __init__(self, context: ReplayContext, skill: ObjectRows, base: str, *, highest: int, is_new: bool) -> None:
        self._context, self._skill, self.base = context, skill, base
        versions = sorted(skill.of("skill_versions"), key=lambda row: int(row["version"]))
        self.of_source = [row for row in versions if row["status"] != _DELETED]
        self._last_deleted = max((int(row["version"]) for row in versions if row["status"] == _DELETED), default=0)
        self._shown = {} if is_new else self._ask()
        self._highest = highest
        self._next = max([highest, *self._shown]) + 1
        for number in [number for number, version in self._shown.items() if version["source"] == _FILLER]:
            self._delete(number)  # an import was cut off behind it
            del self._shown[number]

    def check_same(self) -> None:
        """Raise ItemError if the target's skill is another one: a version of it has other content than the source's."""
        for row in self.of_source:
            existing = self._shown.get(row["version"])
            if existing is not None and not _is_same(existing, row):
                message = (
                    f"the target has another skill of this name, which no import made: its {row['version']} differs"
                )
                raise ItemError(message)

    def find_or_make(self, row: Row) -> tuple[Any, bool]:
        """Return a version as the target has it, None where a dry run would make it, and whether it is new.

        Raises ItemError where it cannot get its number.
        """
        number = row["version"]
        existing = self._shown.get(number)
        if existing is not None and not _is_same(existing, row):
            message = f"the target has another version {number} of this skill, which no import of this one made"
            raise ItemError(message)
        return (self._make_at(number, row), True) if existing is None else (existing, False)

    def take_deleted_numbers(self) -> bool:
        """Take the numbers of versions that are deleted at the source and come after all others."""
        last = self._last_deleted
        if last < self._next or last <= self._highest:
            return False
        if not self._context.options.dry_run:
            # In this order, so that an import that is cut off here takes no more numbers the next time.
            self._fill(last)
            number = self._create({"source_type": "git", "source": _FILLER})
            self._context.api.post(f"{self.base}/tags", {"key": HIGHEST, "value": str(number)})
            self._delete(number)
        return True

    def set_status(self, existing: Mapping[str, Any], status: str) -> bool:
        """Bring a version to its status at the source; return whether it had another."""
        steps = {_DRAFT: (), _DEPRECATED: (_ACTIVE, _DEPRECATED)}.get(status, (_ACTIVE,))
        if existing["status"] == status or existing["status"] not in (_DRAFT, *steps):
            return False
        if not self._context.options.dry_run:
            for step in steps[steps.index(existing["status"]) + 1 if existing["status"] in steps else 0 :]:
                self._context.api.patch(f"{self.base}/versions/{existing['version']}", {"status": step})
        return True

    def _ask(self) -> dict[int, Any]:
        listed = entries(lambda page: self._context.api.get(f"{self.base}/versions", page), "skill_versions")
        return {int(version["version"]): version for version in listed}

    def _make_at(self, number: int, row: Row) -> Any:
        """Make a version with this number and return it, None in a dry run. Raises ItemError."""
        if self._next > number:
            message = f"the number {number} is taken in the target by a version that was deleted there"
            raise ItemError(message)
        files = self._files(row)
        if self._context.options.dry_run:
            self._next = number + 1
            return None
        self._fill(number)
        assigned = self._create(row) if files is None else self._upload(row, files)
        if assigned != number:
            self._delete(assigned)
            message = f"MLflow gave it the number {assigned}: {number} is taken by a version that was deleted there"
            raise ItemError(message)
        made = self._context.api.get(f"{self.base}/versions/{number}")
        return {**made, "status": row["status"]} if self.set_status(made, row["status"]) else made

    def _files(self, row: Row) -> Mapping[str, ArtifactFile] | None:
        """Return the files of what was uploaded, None for a version that names a source. Raises ItemError."""
        if row["source_type"] != "mlflow" and row["source"] is not None:
            return None
        folder = f"{row['version']}/"
        files = {f.path.removeprefix(folder): f for f in self._skill.files if f.path.startswith(folder)}
        if not UPLOADS.has_files(row):
            raise ItemError("it refers to files elsewhere in MLflow, of which the API makes no version")
        if not files:
            raise ItemError("its files are not in the archive")
        if sum(file.size or 0 for file in files.values()) > _LARGEST_UPLOAD:
            raise ItemError(f"its files are more than {_LARGEST_UPLOAD} bytes")
        return files

    def _fill(self, number: int) -> None:
        """Make and delete fillers until the next number is ``number``, or is found to be higher."""
        if number - self._next > self._context.options.limits.fillers:
            message = f"{number - self._next} numbers before {number} would have to be taken by fillers: too many"
            raise ItemError(message)
        while self._next < number:
            self._delete(self._create({"source_type": "git", "source": _FILLER}))

    def _create(self, row: Row) -> int:
        """Make a draft that names a source, and return its number."""
        fields = {name: row[name] for name in (*_SOURCE, "digest") if row.get(name) is not None}

        def make() -> int:
            body = {**fields, "status": _DRAFT}
            return int(self._context.api.post(f"{self.base}/versions", body, idempotent=False)["version"])

        number = once(make, lambda: next(iter(self._new(row)), None))
        self._next = number + 1
        return number

    def _upload(self, row: Row, files: Mapping[str, ArtifactFile]) -> int:
        """Make a draft with files, and return its number; one that a repeated request made once more is deleted."""
        body, content_type = _form({"status": _DRAFT}, _packed(files))
        self._context.api.post_bytes(f"{self.base}/versions", body, {"Content-Type": content_type})
        numbers = self._new(row)
        if not numbers:
            raise ItemError("the target took its files, but shows no version with their digest")
        for number in numbers[1:]:
            self._delete(number)
        self._next = numbers[-1] + 1
        return numbers[0]

    def _new(self, row: Row) -> list[int]:
        """Return the numbers of the versions made since that are like a row."""
        shown = self._ask()
        return sorted(number for number in shown if number >= self._next and _is_same(shown[number], row))

    def _delete(self, number: int) -> None:
        if self._context.options.dry_run:
            return
        try:
            self._context.api.delete(f"{self.base}/versions/{number}")
        except ServerError as exc:
            if not is_missing(exc) and exc.status != HTTPStatus.NOT_FOUND:
                raise


def _is_same(existing: Mapping[str, Any], row: Row) -> bool:
    """Return whether a version of the target has the content of one of the source: its files, or where they are."""
    if row.get("source_type") == "mlflow":
        return bool(existing["source_type"] == "mlflow" and existing["digest"] == row["digest"])
    return all(existing.get(name) == row.get(name) for name in _SOURCE)


def _packed(files: Mapping[str, ArtifactFile]) -> bytes:
    """Return files as the compressed tar in which MLflow takes a skill."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path, file in sorted(files.items()):
            with file.open() as data:
                entry = tarfile.TarInfo(path)
                entry.size = data.seek(0, io.SEEK_END)
                data.seek(0)
                tar.addfile(entry, data)
    return packed.getvalue()


def _form(metadata: Mapping[str, Any], content: bytes) -> tuple[bytes, str]:
    """Return the body of the form that MLflow wants, and its content type."""
    boundary = secrets.token_hex(16)
    parts = (
        ("metadata", "", "application/json", json.dumps(metadata).encode()),
        ("content", '; filename="content.tar.gz"', "application/gzip", content),
    )
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, file, kind, data in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
