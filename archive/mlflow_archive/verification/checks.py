"""Verify an archive: the one entry, and the translation of damage into runs and artifact paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import DATASET, is_identity
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.storage.members import HASH_BLOCK
from mlflow_archive.verification.members import check_bytes, check_listing
from mlflow_archive.verification.packs import PackCheck, raw_digest
from mlflow_archive.verification.report import Level, Lost, VerifyReport
from mlflow_archive.verification.tables import KeyRange, TableFindings, check_tables, owners_in


def verify(
    path: str | os.PathLike[str], level: Level = Level.FULL, *, jobs: int = 2, progress: Progress | None = None
) -> VerifyReport:
    """Check the archive at a path and return everything found; never changes it.

    Raises what ``open_archive`` raises where not even a manifest can be read. A member that fails is read once only:
    run it again to distinguish a bad medium from a bad archive.
    """
    with open_archive(Path(path)) as archive:
        return examine(archive, level, jobs=jobs, progress=progress).report


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What a check found. Where it decoded anything, also the rows that are lost, and each blob (32 bytes) that was
    proved with its size in bytes."""

    report: VerifyReport
    damaged: tuple[KeyRange, ...] = ()
    blobs: Mapping[bytes, int] = field(default_factory=dict)


def examine(
    archive: Archive, level: Level = Level.FULL, *, jobs: int = 2, progress: Progress | None = None
) -> Examination:
    """Check an open archive; see :func:`verify`."""
    progress = progress or Quiet()
    report = VerifyReport(level=level, archive_id=archive.id)
    check_listing(archive, report)
    if level is Level.QUICK:
        return Examination(report=report)
    bad = check_bytes(archive, report, progress, jobs)
    if level is Level.STORED and not bad:
        return Examination(report=report)
    # Only trying to decode shows what is lost, so damage makes a `stored` check go on.
    findings = check_tables(archive, report, bad | _absent(archive))
    packs = PackCheck(archive, report, progress)
    packs.run(jobs)
    _check_artifacts(archive, report, packs.good)
    report.count("blobs", len(packs.good))
    _name_lost(report, findings)
    return Examination(report=report, damaged=tuple(findings.damaged), blobs=packs.good)


def _absent(archive: Archive) -> set[str]:
    sizes = archive.members.sizes()
    return {member.path for member in archive.manifest.members if sizes.get(member.path) != member.size}


def _check_artifacts(archive: Archive, report: VerifyReport, good: dict[bytes, int]) -> None:
    """Compare artifacts with the blobs that were proved; those of other blobs are lost."""
    indexed = _indexed(archive)
    bad = {digest for digest in indexed if raw_digest(digest) not in good and not _comes_out(archive, digest, good)}
    used: set[str] = set()
    for member in archive.parts("artifacts"):
        for rows in _readable_groups(archive, member):
            used.update(rows["digest"].to_pylist())
            _check_artifact_rows(rows, member, report, good, indexed)
    unused = indexed - used
    if unused:
        report.add("W003", "", f"{len(unused)} blobs are referred to by no artifact, such as {min(unused)}")
    for digest in sorted(bad & used):
        report.add("E042", "", f"blob {digest} does not come out with its digest")


def _comes_out(archive: Archive, digest: str, good: dict[bytes, int]) -> bool:
    """Read a blob as a reader does: packs may hold its extents in another order than the raw bytes have."""
    size = 0
    try:
        with Blobs(archive).open(digest) as stream:
            while block := stream.read(HASH_BLOCK):
                size += len(block)
    except DamagedError:
        return False
    good[raw_digest(digest)] = size
    return True


def _check_artifact_rows(
    rows: pa.Table, member: Member, report: VerifyReport, good: dict[bytes, int], indexed: set[str]
) -> None:
    for row in rows.to_pylist():
        size = good.get(raw_digest(row["digest"]))
        if size == row["size"]:
            continue
        report.lost.add(Lost(kind=row["owner_kind"], id=row["owner_id"], path=row["path"]))
        artifact = f"{row['owner_kind']} {row['owner_id']}, artifact {row['path']!r}"
        if size is not None:
            report.add("E052", member.path, f"{artifact}: it states {row['size']} bytes, its blob has {size}")
        elif row["digest"] not in indexed:
            report.add("E050", member.path, f"{artifact}: its blob {row['digest']} is not in the archive")


def _indexed(archive: Archive) -> set[str]:
    digests: set[str] = set()
    for member in archive.parts("blobs"):
        for rows in _readable_groups(archive, member):
            digests.update(rows["digest"].unique().to_pylist())
    return digests


def _readable_groups(archive: Archive, member: Member) -> list[pa.Table]:
    """Read what can be read of a part; what cannot was reported by the check of the tables."""
    tables: list[pa.Table] = []
    try:
        part = archive.open_part(member)
        groups = part.row_groups()
    except DamagedError:
        return tables
    for group in groups:
        try:
            tables.append(part.read(group.index))
        except DamagedError:
            continue
    return tables


def _name_lost(report: VerifyReport, findings: TableFindings) -> None:
    """Turn damaged key ranges into the runs, experiments and other entities they hit."""
    if not findings.damaged:
        return
    for kind, ids in findings.ids.items():
        if kind != DATASET:  # a run's datasets are named by its rows in dataset_inputs
            report.lost.update(Lost(kind=kind, id=entity) for entity in owners_in(findings.damaged, ids, kind))
    for damaged in findings.damaged:
        kind = damaged.table.entity or ""
        if is_identity(damaged.table) and kind != DATASET and not _hit(damaged, findings.ids.get(kind, {})):
            report.lost.add(Lost(kind=kind, id=damaged.span))


def _hit(damaged: KeyRange, ids: dict[str, str]) -> bool:
    return any(damaged.low <= key <= damaged.high for key in ids.values())
