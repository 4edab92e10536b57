"""What is in an archive, in numbers: cheap enough for an archive of a hundred thousand runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.compute as pc

from mlflow_archive.format.delta import Elsewhere, elsewhere
from mlflow_archive.format.layout import STAGING, manifest_name
from mlflow_archive.format.manifest import MAJOR, Export, encode
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.reader.stored.joined import JoinedMembers
from mlflow_archive.storage.single_file import SingleFileMembers

EXACT_ROWS: Final = 2_000_000
"""Tables of an archive with several exports are counted row by row up to this size, else stated as an upper bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bytes. ``artifacts`` is all artifacts together, ``blobs`` each distinct one once, ``packs`` as stored."""

    total: int
    tables: int
    packs: int
    artifacts: int
    blobs: int

    @property
    def ratio(self) -> float | None:
        """Artifact bytes per stored byte, None where no artifact has any."""
        return self.artifacts / self.packs if self.packs and self.artifacts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts are by table, of the newest state of each entity; those of ``inexact`` tables are upper bounds.

    ``last_export`` is the number of the newest export where it is the archive as it was after an earlier one.
    """

    path: str
    form: str
    version: str
    archive_id: str
    features: tuple[str, ...]
    exports: tuple[dict[str, Any], ...]
    counts: dict[str, int]
    inexact: tuple[str, ...]
    sizes: Sizes
    gaps: dict[str, int]
    elsewhere: Elsewhere | None
    last_export: int | None = None

    def to_json(self) -> dict[str, Any]:
        sizes = {name: getattr(self.sizes, name) for name in Sizes.__slots__}
        return {
            "path": self.path,
            "form": self.form,
            "format": self.version,
            "archive_id": self.archive_id,
            "features": list(self.features),
            "exports": list(self.exports),
            "counts": self.counts,
            "inexact_counts": list(self.inexact),
            "sizes": {**sizes, "ratio": self.sizes.ratio},
            "gaps": self.gaps,
            **({} if self.elsewhere is None else {"elsewhere": self.elsewhere.to_json()}),
            **({} if self.last_export is None else {"last_export": self.last_export}),
        }


def _counts(archive: Archive) -> tuple[dict[str, int], list[str]]:
    """Return how many rows each table has, and those of which the manifest says it, but for what came twice."""
    counts: dict[str, int] = {}
    inexact = []
    for name in TABLES:
        counts[name] = sum(member.rows or 0 for member in archive.parts(name))
        if len(archive.manifest.exports) > 1 and TABLES[name].entity is not None:
            if counts[name] <= EXACT_ROWS:
                key = TABLES[name].key[:1]
                counts[name] = sum(rows.num_rows for rows in archive.batches(name, columns=key))
            else:
                inexact.append(name)
    return counts, inexact


def summarize(archive: Archive) -> Summary:
    """Read the manifest, and of the tables only what the manifest cannot tell. Raises DamagedError."""
    manifest = archive.manifest
    archive.anticipate(dict.fromkeys(("artifacts", "blobs", "gaps"), ()))
    counts, inexact = _counts(archive)
    return Summary(
        path=str(archive.path),
        form=_form(archive),
        version=f"{MAJOR}.{manifest.minor}",
        archive_id=archive.id,
        features=(*manifest.required_features, *manifest.optional_features),
        exports=tuple(_export(export) for export in manifest.exports),
        counts=counts,
        inexact=tuple(inexact),
        sizes=_sizes(archive),
        gaps=_gaps(archive) if counts["gaps"] else {},
        elsewhere=elsewhere(manifest),
        last_export=archive.last_export,
    )


def _form(archive: Archive) -> str:
    if isinstance(archive.members, JoinedMembers):
        return "a delta with its base"
    return "single file" if isinstance(archive.members, SingleFileMembers) else "directory"


def _export(export: Export) -> dict[str, Any]:
    return {
        "number": export.number,
        "created": Moment(export.created_ms),
        "tool": export.tool,
        "source": dict(export.source),
        "selection": dict(export.selection),
        "counts": dict(export.counts),
        "gaps": export.gaps,
        **({} if export.compacted is None else {"compacted": [dict(step) for step in export.compacted]}),
        **({} if export.redaction is None else {"redaction": export.redaction.to_json()}),
    }


def _sizes(archive: Archive) -> Sizes:
    by_kind: Counter[str] = Counter()
    for member in archive.manifest.members:
        by_kind[member.kind] += member.size
    return Sizes(
        total=total_size(archive),
        tables=by_kind["table"],
        packs=by_kind["pack"],
        artifacts=sum(_sum(rows, "size") for rows in archive.batches("artifacts", columns=["size"])),
        blobs=_column_sum(archive, "blobs", "raw_size"),
    )


def total_size(archive: Archive) -> int:
    """Return what the archive takes on disk, as it was after an earlier export what it took then.

    Leftovers of an export that was interrupted are not part of it.
    """
    if archive.last_export is not None:
        return _stated_size(archive)
    if isinstance(archive.members, SingleFileMembers):
        return archive.members.size
    if archive.members.distant:
        return _stated_size(archive)
    return sum(size for name, size in archive.members.sizes().items() if not name.startswith(f"{STAGING}/"))


def _stated_size(archive: Archive) -> int:
    """Return what the members of an archive take as its manifest states it: listing a bucket takes requests."""
    manifest, members = encode(archive.manifest), archive.manifest.members
    names = [*(member.path for member in members), manifest_name(archive.manifest.export_number)]
    checksums = sum(len(f"{archive.id}  {name}\n") for name in names)
    return sum(member.size for member in members) + checksums + 2 * len(manifest)


def _column_sum(archive: Archive, table: str, column: str) -> int:
    """Sum a column of a table that is never superseded, and read nothing else of it."""
    parts = (archive.open_part(member) for member in archive.parts(table))
    return sum(_sum(rows, column) for part in parts for rows in part.groups(None, [column]))


def _sum(rows: Any, column: str) -> int:
    return int(pc.sum(rows[column]).as_py() or 0)


def _gaps(archive: Archive) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for rows in archive.batches("gaps", columns=["code"]):
        counts.update(rows["code"].to_pylist())
    return dict(sorted(counts.items()))
