"""Levels quick and stored: members, sizes, hashes, and the structure of a single file."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, README, STAGING, export_number, manifest_name
from mlflow_archive.format.manifest import KNOWN_FEATURES, Member
from mlflow_archive.reader.archive import Archive
from mlflow_archive.storage.members import HASH_BLOCK, MemberFile
from mlflow_archive.storage.remote.members import BucketMembers
from mlflow_archive.storage.single_file import SingleFileMembers
from mlflow_archive.verification.report import Found, VerifyReport
from mlflow_archive.verification.sharing_out import SharedChecks


def check_listing(archive: Archive, report: VerifyReport) -> None:
    """Compare manifest, checksums and what is there. Reads nothing but these."""
    for problem in archive.problems:
        report.add_error(problem)
    sizes = archive.members.sizes()
    copy = manifest_name(archive.manifest.export_number)
    listed = {member.path for member in archive.manifest.members} | {MANIFEST, copy, CHECKSUMS}
    is_cut_off = isinstance(archive.members, BucketMembers) and MANIFEST not in sizes
    for member in archive.manifest.members:
        report.count("members", 1)
        if not is_cut_off or member.path != README:
            _check_size(member, sizes, report)
    if is_cut_off:
        report.add("W001", MANIFEST, "an export was cut off behind its commit; the next one completes it")
    elif CHECKSUMS not in sizes:
        report.add("E010", CHECKSUMS, "it is not there")
    else:
        _check_checksums(archive, report, copy)
    unlisted = sorted(sizes.keys() - listed)
    if any(name.startswith(f"{STAGING}/") for name in unlisted) and not isinstance(archive.members, SingleFileMembers):
        report.add("W001", STAGING, "an export was not finished; running it again continues it")
        unlisted = [name for name in unlisted if not name.startswith(f"{STAGING}/")]
    for name in unlisted:
        _unlisted(archive, report, name)
    for feature in sorted(set(archive.manifest.optional_features) - KNOWN_FEATURES):
        report.add("W004", MANIFEST, f"optional feature {feature!r} is not known to this version; it was not checked")


def _unlisted(archive: Archive, report: VerifyReport, name: str) -> None:
    number = export_number(name)
    unfinished = name.endswith(".tmp")
    if isinstance(archive.members, SingleFileMembers):
        report.add("E013", name, "the manifest does not list it")
    elif unfinished or (number is not None and number > archive.manifest.export_number):
        report.add("W001", name, "it belongs to an export that was not finished")
    else:
        report.add("W002", name, "it belongs to nothing; the manifest does not list it")


def _check_size(member: Member, sizes: Mapping[str, int], report: VerifyReport) -> None:
    if member.path not in sizes:
        report.add("E010", member.path, "the manifest lists it, and it is not there")
    elif sizes[member.path] != member.size:
        message = f"it has {sizes[member.path]} bytes, the manifest states {member.size}"
        report.add("E011", member.path, message)


def _check_checksums(archive: Archive, report: VerifyReport, copy: str) -> None:
    expected = {member.path: member.sha256 for member in archive.manifest.members} | {copy: archive.id}
    try:
        file = archive.members.open(CHECKSUMS)
        text = file.read_at(0, file.size)
    except DamagedError as error:
        report.add_error(error)
        return
    lines = "".join(f"{expected[path]}  {path}\n" for path in sorted(expected)).encode("ascii")
    if text == lines:
        return
    entries = [line.partition("  ") for line in text.decode("utf-8", "replace").splitlines()]
    newer = {path for _, _, path in entries if (export_number(path) or 0) > archive.manifest.export_number}
    if newer and [(s, p) for s, _, p in entries if p not in newer] == sorted_pairs(expected):
        report.add("W001", CHECKSUMS, "it lists members of an export that was not finished")
        return
    report.add("E014", CHECKSUMS, "it does not list the members as the manifest does")


def sorted_pairs(expected: dict[str, str]) -> list[tuple[str, str]]:
    """Return (SHA-256, path) in the order of the paths."""
    return [(expected[path], path) for path in sorted(expected)]


@dataclass(slots=True, kw_only=True)
class MembersFound(Found):
    """What the check of some members found; ``bad`` are the paths of those that are not what the manifest states."""

    bad: set[str] = field(default_factory=set)


def check_bytes(
    archive: Archive, report: VerifyReport, progress: Progress, jobs: int, shared: SharedChecks | None = None
) -> set[str]:
    """Hash every member, by threads or by workers; return the paths of those that are not what the manifest states."""
    members = sorted(archive.manifest.members, key=lambda member: (-member.size, member.path))
    progress.expect("bytes", sum(member.size for member in members))
    bad: set[str] = set()
    for findings in (
        _by_threads(archive, members, progress, jobs) if shared is None else shared.run(check_members, members)
    ):
        report.take(findings)
        bad |= findings.bad
    if isinstance(archive.members, SingleFileMembers):
        _check_rest(archive, archive.members, report, progress)
    return bad


def _by_threads(archive: Archive, members: Iterable[Member], progress: Progress, jobs: int) -> Iterable[MembersFound]:
    with ThreadPoolExecutor(jobs, thread_name_prefix="verify") as pool:
        yield from pool.map(lambda member: check_members(archive, [member], progress), members)


def check_members(archive: Archive, members: Sequence[Member], progress: Progress | None = None) -> MembersFound:
    """Hash some members."""
    findings, progress = MembersFound(), progress or Quiet()
    for member in members:
        try:
            if isinstance(archive.members, SingleFileMembers):
                archive.members.check_header(member.path)
            sha256 = _hash(archive, archive.open_member(member), findings, progress)
        except DamagedError as error:
            if error.code not in ("E010", "E011"):  # these the listing has reported
                findings.add_error(error)
            findings.bad.add(member.path)
            continue
        if sha256 != member.sha256:
            findings.add("E012", member.path, f"its SHA-256 is {sha256}, the manifest states {member.sha256}")
            findings.bad.add(member.path)
    return findings


def _hash(archive: Archive, file: MemberFile, report: Found, progress: Progress) -> str:
    digest, crc = hashlib.sha256(), 0
    single = archive.members if isinstance(archive.members, SingleFileMembers) else None
    for offset in range(0, file.size, HASH_BLOCK):
        block = file.read_at(offset, min(HASH_BLOCK, file.size - offset))
        digest.update(block)
        if single is not None:
            crc = zlib.crc32(block, crc)
        progress.advance("bytes", len(block))
    report.count("bytes", file.size)
    if single is not None and crc != single.crc32(file.name):
        report.add("E024", file.name, "its CRC-32 is not the one that the single file states")
    return digest.hexdigest()


def _check_rest(archive: Archive, single: SingleFileMembers, report: VerifyReport, progress: Progress) -> None:
    """Check header and CRC of the members of a single file that the manifest cannot list."""
    copy = manifest_name(archive.manifest.export_number)
    for name in (MANIFEST, CHECKSUMS, copy):
        try:
            single.check_header(name)
            file = single.open(name)
            progress.expect("bytes", file.size)
            _hash(archive, file, report, progress)
        except DamagedError as error:
            if error.code != "E010":
                report.add_error(error)
