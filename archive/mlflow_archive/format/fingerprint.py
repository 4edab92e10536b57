"""The fingerprint of an entity: what it looked like when it was read (spec/format.md, "Fingerprints").

Equal fingerprints let a later export leave an entity out. That of a run covers run info, params, tags, the latest
value of each metric and the artifact listing, nothing that costs a read of histories or bytes. Those of logged models
and traces cover all their rows but spans. What they do not see, points added to the middle of a history and files
with new bytes of the same size, is in ``contents``, as far as a source can tell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import Final, Protocol

import pyarrow as pa

_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)

LatestMetric = tuple[str, int, int, float]
"""(key, step, timestamp in ms, value)"""


def point_order(point: LatestMetric) -> tuple[int, int, float]:
    """Return what decides which point of a metric is the latest, as in MLflow's databases: a NaN counts as 0."""
    _, step, time, value = point
    return step, time, 0.0 if isnan(value) else value


class Fingerprint(str):
    """A SHA-256 in hex. ``contents`` is another of what it does not see, or None where the source cannot tell."""

    __slots__ = ("contents",)
    contents: str | None

    def __new__(cls, value: str, contents: str | None = None) -> Fingerprint:
        fingerprint = super().__new__(cls, value)
        fingerprint.contents = contents
        return fingerprint

    def agrees_with(self, known: str | None) -> bool:
        """Return whether the entity is as the one whose fingerprint is ``known``; None is that of no entity.

        Of the ``contents`` of what is known an index has only the beginning.
        """
        contents: str | None = getattr(known, "contents", None)
        return self == known and (self.contents is None or contents is None or self.contents.startswith(contents))

    def row(self, kind: str, owner_id: str) -> dict[str, str | None]:
        """Return the row of the table ``fingerprints``."""
        return {"owner_id": owner_id, "owner_kind": kind, "fingerprint": str(self), "contents": self.contents}


def fingerprints_of(rows: pa.Table) -> Iterator[tuple[str, str, Fingerprint]]:
    """Yield kind, id and fingerprint of each row of the table ``fingerprints``."""
    names = ("owner_kind", "owner_id", "fingerprint", "contents")
    for kind, owner_id, value, contents in zip(*(rows[name].to_pylist() for name in names), strict=True):
        yield kind, owner_id, Fingerprint(value, contents)


class AnnouncedFile(Protocol):
    """What a source says of an artifact file: its size in bytes, and a mark that changes when its bytes do."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int | None: ...
    @property
    def mark(self) -> str | None: ...


def run_fingerprint(
    info: Mapping[str, str | int | None],
    params: Mapping[str, str],
    tags: Mapping[str, str | None],
    latest_metrics: Iterable[LatestMetric],
    files: Sequence[AnnouncedFile],
    points: Mapping[str, int] | None = None,
) -> Fingerprint:
    """Return the SHA-256 in hex over the canonical JSON of the five parts.

    ``info`` holds columns of ``runs`` with times as milliseconds; None values are left out, so that a source that
    does not show a field and one that shows it empty agree. ``points`` are numbers of points by key, where known.
    """
    known = {name: value for name, value in info.items() if value is not None}
    latest = sorted([key, step, time, repr(float(value))] for key, step, time, value in latest_metrics)
    return fingerprint_of_texts(
        canonical(known),
        canonical(dict(params)),
        canonical(dict(tags)),
        canonical(latest),
        files,
        None if points is None else canonical(points),
    )


def fingerprint_of_texts(
    info: str, params: str, tags: str, latest_metrics: str, files: Sequence[AnnouncedFile], points: str | None
) -> Fingerprint:
    """As ``run_fingerprint``, of parts that are canonical JSON already."""
    listing = canonical(_listing(files)) if files else "[]"
    return Fingerprint(_sha256(f"[{info},{params},{tags},{latest_metrics},{listing}]"), _contents(files, points))


def entity_fingerprint(
    rows: Mapping[str, Sequence[Mapping[str, object]]], files: Sequence[AnnouncedFile]
) -> Fingerprint:
    """Return the SHA-256 in hex over the canonical JSON of a logged model's or trace's rows and artifact listing.

    ``rows`` are by table, times as milliseconds, ``spans`` left out; tables without rows and None values do not
    count.
    """
    shown = {
        name: sorted(_row(row) for row in table_rows)
        for name, table_rows in rows.items()
        if table_rows and name != "spans"
    }
    return Fingerprint(_sha256(canonical([shown, _listing(files)])), _contents(files, None))


def _listing(files: Sequence[AnnouncedFile]) -> list[list[str | int]]:
    return sorted([file.path, -1 if file.size is None else file.size] for file in files)


def _contents(files: Sequence[AnnouncedFile], points: str | None) -> str | None:
    marks = [[file.path, file.mark] for file in sorted(files, key=lambda file: file.path)]
    with_marks = any(mark is not None for _, mark in marks)
    if points is None and not with_marks:
        return None
    return _sha256(f"[{points or 'null'},{canonical(marks) if with_marks else 'null'}]")


def _row(row: Mapping[str, object]) -> str:
    values = {
        name: repr(value) if isinstance(value, float) else value for name, value in row.items() if value is not None
    }
    return canonical(values)


def _sha256(document: str) -> str:
    return hashlib.sha256(document.encode("ascii")).hexdigest()


def canonical(document: object) -> str:
    """Return canonical JSON (spec/format.md, section 4), which is ASCII."""
    return _ENCODER.encode(document)
