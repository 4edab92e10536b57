"""Verify an archive: the one entry, and the translation of damage into runs and artifact paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.delta import elsewhere
from mlflow_archive.format.location import ArchivePath
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import DATASET, is_identity
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.signing.checks import check_signatures
from mlflow_archive.signing.report import SignatureOptions
from mlflow_archive.verification.members import check_bytes, check_listing
from mlflow_archive.verification.packs import blobs_come_out, check_all_packs, raw_digest
from mlflow_archive.verification.report import Level, Lost, VerifyReport
from mlflow_archive.verification.sharing_out import SharedChecks, shared_checks
from mlflow_archive.verification.tables import KeyRange, TableFindings, check_tables, owners_in


def verify(  # noqa: PLR0913 - each is an option of the command
    path: ArchivePath,
    level: Level | str = Level.FULL,
    *,
    jobs: int = 2,
    processes: int = 0,
    dask: str | None = None,
    progress: Progress | None = None,
    signers: str | os.PathLike[str] | None = None,
    require_signature: bool = False,
    tsa_ca: str | os.PathLike[str] | None = None,
    base: ArchivePath | None = None,
) -> VerifyReport:
    """Check the archive at a path and return everything found; never changes it.

    Of a delta what it holds is checked, and ``report.elsewhere`` says what is not; with ``base``, the archive that it
    was made of, all of what the two make together.
    ``jobs`` threads check, or as many ``processes``, or the workers of the Dask cluster whose scheduler has the
    address ``dask``: the report is the same.
    ``signers`` is a list of allowed signers: with it, the signatures beside the archive are checked, too, and with
    ``require_signature`` the newest export must have one that is accepted. ``tsa_ca`` are certificates of time-stamp
    authorities (PEM). Raises ValueError for a level that there is not, what ``open_archive`` raises where not even a
    manifest can be read, SelectionError where ``signers`` is missing or cannot be read, and for processes with
    ``dask``, MissingProgramError, MissingExtraError, WorkError where workers cannot do a piece. A member that fails is
    read once only: run it again to distinguish a bad medium from a bad archive.
    """
    level = Level(level)
    if signers is None and (require_signature or tsa_ca is not None):
        raise SelectionError("whom to trust is said by a list of allowed signers: give --signers FILE, too")
    with open_archive(path, base=base) as archive:
        report = VerifyReport(level=level, archive_id=archive.id, elsewhere=elsewhere(archive.manifest))
        if signers is not None:
            options = SignatureOptions(
                signers=Path(signers), required=require_signature, tsa_ca=None if tsa_ca is None else Path(tsa_ca)
            )
            report.signatures = check_signatures(archive, options)
        with shared_checks(archive, path, base, processes, dask, progress or Quiet()) as shared:
            examine(archive, report, jobs=jobs, progress=progress, shared=shared)
        return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What a check found beside its report, where it decoded anything: the rows that are lost, and each blob (its
    digest as 32 bytes) that was proved, with its size in bytes."""

    damaged: tuple[KeyRange, ...] = ()
    blobs: Mapping[bytes, int] = field(default_factory=dict)


def examine(
    archive: Archive,
    report: VerifyReport,
    *,
    jobs: int = 2,
    progress: Progress | None = None,
    shared: SharedChecks | None = None,
) -> Examination:
    """Check an open archive at the level of a report, by threads or workers, and add to it; see :func:`verify`."""
    progress = progress or Quiet()
    check_listing(archive, report)
    if report.level is Level.QUICK:
        return Examination()
    bad = check_bytes(archive, report, progress, jobs, shared)
    if report.level is Level.STORED and not bad:
        return Examination()
    # Only trying to decode shows what is lost, so damage makes a `stored` check go on.
    findings = check_tables(archive, report, bad, jobs=jobs, shared=shared)
    good = check_all_packs(archive, report, progress, jobs, shared)
    indexed = _indexed(archive)
    unproved = sorted(digest for digest in indexed if raw_digest(digest) not in good)
    for came in [blobs_come_out(archive, unproved)] if shared is None else shared.run(blobs_come_out, unproved):
        good |= came
    _check_artifacts(archive, report, good, indexed, findings)
    report.count("blobs", len(good))
    _name_lost(report, findings)
    return Examination(damaged=tuple(findings.damaged), blobs=good)


def _with_blobs_here(rows: pa.Table, indexed: set[str], findings: TableFindings) -> pa.Table:
    """Keep of the artifacts of a delta those whose blob is in it, or was in what is damaged of its blob index."""
    lost = [damaged for damaged in findings.damaged if damaged.table.name == "blobs"]
    here = (digest in indexed or any(r.low <= digest <= r.high for r in lost) for digest in rows["digest"].to_pylist())
    return rows.filter(pa.array(here, pa.bool_()))


def _check_artifacts(
    archive: Archive, report: VerifyReport, good: dict[bytes, int], indexed: set[str], findings: TableFindings
) -> None:
    """Compare artifacts with the blobs that were proved; those of other blobs are lost."""
    bad = {digest for digest in indexed if raw_digest(digest) not in good}
    used: set[str] = set()
    for member in archive.parts("artifacts"):
        for rows in _readable_groups(archive, member):
            used.update(rows["digest"].to_pylist())
            here = _with_blobs_here(rows, indexed, findings) if findings.of_delta else rows
            _check_artifact_rows(here, member, report, good, indexed)
    unused = indexed - used
    if unused:
        report.add("W003", "", f"{len(unused)} blobs are referred to by no artifact, such as {min(unused)}")
    for digest in sorted(bad & used):
        report.add("E042", "", f"blob {digest} does not come out with its digest")


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
            report.lost.update(Lost(kind=kind, id=owner) for owner in owners_in(findings.damaged, ids, kind))
    for damaged in findings.damaged:
        entity = damaged.table.entity
        if entity is None or entity == DATASET or not is_identity(damaged.table):
            continue
        if not _hit(damaged, findings.ids.get(entity, {})):
            report.lost.add(Lost(kind=entity, id=damaged.span))


def _hit(damaged: KeyRange, ids: dict[str, str]) -> bool:
    return any(damaged.low <= key <= damaged.high for key in ids.values())
