"""``pack``: an archive into a folder, as a set of volumes.

All is written below ``unfinished`` in that folder. At the end the record gets its name, then all others, then the list:
a set without a list is none, and the same command begins anew.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Final

from mlflow_archive.errors import DamagedError, SelectionError, TargetError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.location import local_path
from mlflow_archive.packing.behind import BLOCK
from mlflow_archive.packing.cutting import VolumeWriter
from mlflow_archive.packing.encryption import check_encryption, encrypt, encrypted_size, fresh_identity, read_recipients
from mlflow_archive.packing.joining import sha256_of
from mlflow_archive.packing.parity import ParityPlan, create_parity, parity_files, plan_parity, program
from mlflow_archive.packing.readme import readme_text
from mlflow_archive.packing.stream import ReadAhead, archive_blocks, archive_size
from mlflow_archive.packing.survey import sets_in
from mlflow_archive.packing.volumes import (
    MAX_RECORD_SIZE,
    MAX_VOLUMES,
    README,
    Names,
    SetFile,
    SetRecord,
    base_name,
    checksum_lines,
    decode_record,
    digits_for,
    encode_record,
    is_signature_name,
)
from mlflow_archive.packing.workplace import check_room, quick_turns, working_in
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.selecting.selection import refuse_text
from mlflow_archive.signing.folder import read_folder, signatures_folder
from mlflow_archive.storage.files import Files
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level

UNFINISHED: Final = "unfinished"
SMALLEST_VOLUME: Final = 16 * 1024
_BESIDE: Final = 64 * 1024
"""More than README.txt, the record's start and the protected key take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOptions:
    """How to pack. Without ``recipients`` and ``passphrase`` nothing is encrypted.

    ``recipients`` are ``age1…``, ``ssh-ed25519 …``, ``ssh-rsa …``, or files with one a line. No file is larger than
    ``volume_size`` bytes (None: one volume). ``parity_percent`` is how much of all volumes may be lost.
    """

    recipients: Sequence[str] = ()
    passphrase: str | None = None
    volume_size: int | None = None
    parity_percent: float | None = None

    def __post_init__(self) -> None:
        refuse_text("recipients", self.recipients)
        if self.volume_size is not None and self.volume_size < SMALLEST_VOLUME:
            raise SelectionError(f"a volume has at least {SMALLEST_VOLUME:,} bytes, not {self.volume_size:,}")
        if self.parity_percent is not None and not 0 < self.parity_percent <= 100:
            raise SelectionError(f"parity is more than 0 % and at most 100 %, not {self.parity_percent:g} %")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport:
    """What was packed: the record of the set, and all of its files with the parity."""

    folder: Path
    record: SetRecord
    files: tuple[SetFile, ...]
    signatures: int


def pack(
    archive: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    options: PackOptions | None = None,
    files: Files | None = None,
    progress: Progress | None = None,
) -> PackReport:
    """Pack an archive, either form, into a folder that is new or empty; see ``mlflow-archive pack``.

    Raises what ``open_archive`` raises, DamagedError where a member is not what was committed, SelectionError,
    TargetError, MissingExtraError. Whatever ends it, the same call begins anew, and no set is there.
    """
    path, folder, files = local_path(archive), local_path(to), files or Files()
    options = options or PackOptions()
    recipients = _recipients(options)
    with open_archive(path) as opened:
        _check(path)
        files.make_directory(folder)
        with working_in(folder) as lock:
            packing = _Packing(opened, path, folder, options, files, progress or Quiet(), lock)
            try:
                return packing.run(recipients)
            except BaseException:
                packing.drop_work()
                raise


def _recipients(options: PackOptions) -> list[Any]:
    """Return for whom to encrypt; what the options need is missed before a folder is made."""
    if options.parity_percent is not None:
        program()
    if options.passphrase is not None:
        check_encryption(options.passphrase)
    return read_recipients(options.recipients)


def _check(path: Path) -> None:
    report = verify(path, Level.QUICK)
    for problem in report.problems:
        if problem.severity == "error":
            message = f"{path}: {problem.member}: {problem.message}; nothing is packed. See what `verify` says"
            raise DamagedError(message, code=problem.code, member=problem.member)


class _Packing:
    """One call of ``pack``."""

    def __init__(
        self,
        archive: Archive,
        path: Path,
        folder: Path,
        options: PackOptions,
        files: Files,
        progress: Progress,
        lock: int,
    ) -> None:
        self._archive, self._path, self._folder, self._options = archive, path, folder, options
        self._files, self._progress, self._lock = files, progress, lock
        self._work = folder / UNFINISHED
        encrypted = bool(options.recipients) or options.passphrase is not None
        base = base_name(path.absolute().name, secrets.token_hex(4))
        self._names = Names(base=base, encrypted=encrypted)
        self._size = archive_size(archive)

    def run(self, recipients: list[Any]) -> PackReport:
        signatures = list(_signatures(self._path))
        stream = encrypted_size(self._size, len(recipients) + 1) if self._names.encrypted else self._size
        self._drop_unfinished()
        plan = self._plan(stream, signatures)
        check_room(self._folder, stream + _BESIDE + (plan.size if plan else 0), self._progress)
        self._files.make_directory(self._work)
        beside: list[SetFile] = []
        if self._options.passphrase is not None:
            recipient, protected = fresh_identity(self._options.passphrase)
            recipients.append(recipient)
            beside.append(self._write(self._names.identity, protected))
        self._progress.expect("bytes", self._size)
        volumes = self._cut(recipients, stream)
        beside += [self._write(f"{self._names.signatures}/{path.name}", path.read_bytes()) for path in signatures]
        return self._finish(volumes, beside, plan)

    def drop_work(self) -> None:
        """Remove what was written, where that can be done: it fills the disk. The next call would do so, too."""
        with suppress(TargetError):
            self._files.remove_tree(self._work)

    def _plan(self, stream: int, signatures: Sequence[Path]) -> ParityPlan | None:
        """Return how to make parity, planned before a byte is written: it may be that it cannot be made."""
        if self._options.parity_percent is None:
            return None
        size = self._volume_size(stream)
        sizes = [size] * (stream // size) + [stream % size]
        sizes += [_BESIDE, *(path.stat().st_size for path in signatures)]
        return plan_parity([size for size in sizes if size], self._options.parity_percent, self._parity_limit(stream))

    def _volume_size(self, stream: int) -> int:
        return self._options.volume_size or max(stream, 1)

    def _parity_limit(self, stream: int) -> int:
        return self._options.volume_size or max(2 * stream, 2**40)

    def _cut(self, recipients: Sequence[Any], stream: int) -> list[SetFile]:
        size = self._options.volume_size or max(stream, SMALLEST_VOLUME)
        count = ceil(stream / size)
        if count > MAX_VOLUMES:
            raise SelectionError(f"{count:,} volumes are too many: take a larger --volume-size")
        name_of = partial(self._names.volume, digits=digits_for(count))
        with (
            quick_turns(),
            ReadAhead(self._counted()) as reader,
            VolumeWriter(self._files, self._work, name_of, size) as writer,
        ):
            if self._names.encrypted:
                encrypt(reader, writer, recipients)
            else:
                while block := reader.read(BLOCK):
                    writer.write(block)
            volumes = writer.finish()
        names = [name_of(number) for number in range(1, len(volumes) + 1)]
        return [replace(volume, name=name) for volume, name in zip(volumes, names, strict=True)]

    def _counted(self) -> Iterator[bytes]:
        for block in archive_blocks(self._archive):
            yield block
            self._progress.advance("bytes", len(block))

    def _write(self, name: str, data: bytes) -> SetFile:
        path = self._work / name
        self._files.make_directory(path.parent)
        with self._files.create(path) as output:
            output.write(data)
            output.sync()
        return self._of(name)

    def _of(self, name: str) -> SetFile:
        path = self._work / name
        return SetFile(name=name, size=path.stat().st_size, sha256=sha256_of(path) or "")

    def _finish(self, volumes: list[SetFile], beside: list[SetFile], plan: ParityPlan | None) -> PackReport:
        packed = {file.name.rpartition("/")[2] for file in beside if file.name.startswith(self._names.signatures)}
        signatures = read_folder(signatures_folder(self._archive.path)).signatures
        text = readme_text(
            self._names,
            digits=len(volumes[0].name.rpartition(".")[2]),
            parity=plan is not None,
            size=self._size,
            passphrase=self._options.passphrase is not None,
            signatures=[files for files in signatures if files.path.name in packed],
        )
        beside.append(self._write(README, text.encode("ascii")))
        record = SetRecord(
            base=self._names.base,
            archive_id=self._archive.id,
            archive_size=self._size,
            encrypted=self._names.encrypted,
            volumes=tuple(volumes),
            beside=tuple(sorted(beside, key=lambda file: file.name)),
        )
        covered = [*volumes, *record.beside, self._write(self._names.record, encode_record(record))]
        parity = self._parity(covered) if plan is not None else []
        self._publish(covered, parity)
        return PackReport(folder=self._folder, record=record, files=(*covered, *parity), signatures=len(packed))

    def _parity(self, covered: Sequence[SetFile]) -> list[SetFile]:
        sizes = [file.size for file in covered]
        limit = self._parity_limit(sum(sizes))
        plan = plan_parity(sizes, self._options.parity_percent or 0, limit)
        self._progress.note(f"parity is made of {sum(sizes):,} bytes: {plan.recovery:,} blocks")
        paths = create_parity(self._work, self._names, covered, plan, self._lock)
        parity = [self._of(path.name) for path in paths]
        for file in parity:
            with self._files.append(self._work / file.name, file.size) as output:
                output.sync()
            if file.size > limit:
                raise TargetError(f"{file.name} has {file.size:,} bytes, more than a volume may have: {limit:,}")
        return parity

    def _publish(self, covered: Sequence[SetFile], parity: Sequence[SetFile]) -> None:
        """Give all files their names: the record first, which tells later what is unfinished, the list last."""
        for file in [*reversed(covered), *parity]:
            self._files.make_directory((self._folder / file.name).parent)
            self._files.publish(self._work / file.name, self._folder / file.name)
        self._files.remove_tree(self._work)
        self._files.write(self._folder / self._names.checksums, checksum_lines([*covered, *parity]))

    def _drop_unfinished(self) -> None:
        """Remove what a killed one left. Raises TargetError where the folder holds anything else."""
        leftovers = {UNFINISHED}
        for base in sets_in(self._folder)[0]:
            names = Names(base=base)
            if (self._folder / names.checksums).exists():
                raise TargetError(f"{self._folder} holds the set {base} already; name a folder that is new or empty")
            leftovers |= {names.record, f"{names.checksums}.tmp", *_named_in(self._folder / names.record, base)}
            leftovers |= {path.name for path in parity_files(self._folder, names)}
        strange = sorted({path.name for path in self._folder.iterdir()} - leftovers)
        if strange:
            message = f"{self._folder} holds other files, such as {strange[0]}; name a folder that is new or empty"
            raise TargetError(message)
        records = {names for names in leftovers if names.endswith(".json")}
        for name in [*sorted(leftovers - records), *sorted(records)]:  # a record goes after all that it names
            self._files.remove_tree(self._folder / name)


def _named_in(record: Path, base: str) -> set[str]:
    """Return the names in a folder that a record gives, without what is in folders of it."""
    try:
        with record.open("rb") as file:
            facts = decode_record(file.read(MAX_RECORD_SIZE), base)
    except (OSError, ValueError):
        return set()
    return {file.name.partition("/")[0] for file in (*facts.volumes, *facts.beside)}


def _signatures(archive: Path) -> Iterator[Path]:
    """Yield the files with signatures beside an archive."""
    folder = signatures_folder(archive)
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.is_file() or not is_signature_name(path.name) or path.stat().st_size == 0:
                raise TargetError(f"{path} is no signature: it must be a file with a plain name; move it away")
            yield path
