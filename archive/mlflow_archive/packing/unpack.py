"""``unpack``: a set of volumes back into the archive that it was made of.

All is written below ``NAME.mlfa.unpack`` beside the archive to be, which gets its name when it has been verified.
Volumes are read once where nothing is wrong with them: hashed, put together, decrypted. Else all are looked at first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from mlflow_archive.errors import (
    ArchiveError,
    DamagedVolumesError,
    KeyRefusedError,
    NotAnArchiveError,
    SelectionError,
    TargetError,
)
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.location import local_path
from mlflow_archive.packing.behind import BLOCK, WriteBehind
from mlflow_archive.packing.encryption import NotDecryptableError, Passphrase, decrypt, opens, read_identities
from mlflow_archive.packing.joining import VolumeChangedError, joined_blocks, sha256_of
from mlflow_archive.packing.mending import MendingFolder
from mlflow_archive.packing.stream import ReadAhead
from mlflow_archive.packing.survey import Finding, Survey, places_by_size, sets_in, survey
from mlflow_archive.packing.volumes import MAX_RECORD_SIZE, README, Names, SetFile, SetRecord, decode_record
from mlflow_archive.packing.workplace import check_room, quick_turns, working_in
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.folder import signatures_folder
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.syncing import SyncBehind
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level

WORK_SUFFIX: Final = ".unpack"
_HEADER: Final = 2**20
"""More than the header of a stream takes, for thousands of recipients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackOptions:
    """Keys: files of ``identities``, and what gives the passphrase where a key is protected by one."""

    identities: Sequence[str | os.PathLike[str]] = ()
    passphrase: str | Passphrase | None = None

    def __post_init__(self) -> None:
        if isinstance(self.identities, str):
            raise TypeError(f"identities takes a list; found {self.identities!r}")

    def ask(self) -> str:
        """Return the passphrase. Raises KeyRefusedError where there is none."""
        if self.passphrase is None:
            raise KeyRefusedError("the key is protected by a passphrase, and none was given: --passphrase-file FILE")
        return self.passphrase if isinstance(self.passphrase, str) else self.passphrase()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackReport:
    """What was unpacked, and what was wrong with the volumes on the way.

    ``lost_signatures`` are signatures that could not be brought: a report with some is a partial success.
    """

    archive: Path
    archive_id: str
    findings: tuple[Finding, ...]
    signatures: int
    lost_signatures: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.lost_signatures


def unpack(
    folder: str | os.PathLike[str],
    archive: str | os.PathLike[str],
    *,
    options: UnpackOptions | None = None,
    files: Files | None = None,
    progress: Progress | None = None,
) -> UnpackReport:
    """Unpack a set of volumes into a single file; see ``mlflow-archive unpack``. The folder is only read.

    Raises NotAnArchiveError where there is no set, DamagedVolumesError with the volumes that are lost, KeyRefusedError,
    DamagedError where the archive is not what it was, TargetError, SelectionError, MissingExtraError. Whatever ends it,
    the same call goes on: what was mended is not mended again.
    """
    source, target, files = local_path(folder), local_path(archive), files or Files()
    names = find_set(source)
    work = target.with_name(target.name + WORK_SUFFIX)
    if target.exists() and not work.is_dir():
        raise TargetError(f"{target} exists already; choose another name")
    files.make_directory(work)
    with working_in(work) as lock:
        unpacking = _Unpacking(source, target, names, options or UnpackOptions(), files, progress or Quiet(), lock)
        try:
            return unpacking.run()
        except BaseException:
            unpacking.drop_plain()
            raise


def find_set(folder: Path) -> Names:
    """Return the names of the one set in a folder. Raises NotAnArchiveError for none, SelectionError for several."""
    if not folder.is_dir():
        raise NotAnArchiveError(f"{folder} is no folder with volumes")
    sets, of_volumes = sets_in(folder)
    if len(sets) > 1:
        message = f"{folder} holds several sets ({', '.join(sets)}): move the files of each into a folder of its own"
        raise SelectionError(message)
    if not sets and of_volumes:
        raise NotAnArchiveError(
            f"{folder} holds volumes of {', '.join(sorted(of_volumes))}, but neither record nor parity"
        )
    if not sets:
        inner = [path.name for path in sorted(folder.iterdir()) if _holds_set(path)]
        there = f"; there is one in its folder {inner[0]}" if inner else ", or one that was not finished"
        raise NotAnArchiveError(f"{folder} holds no set of volumes{there}")
    return Names(base=sets[0])


def _holds_set(folder: Path) -> bool:
    try:
        return folder.is_dir() and bool(sets_in(folder)[0])
    except OSError:  # a disk may have folders that only its system reads
        return False


class _Unpacking:
    """One call of ``unpack``."""

    def __init__(
        self,
        source: Path,
        target: Path,
        names: Names,
        options: UnpackOptions,
        files: Files,
        progress: Progress,
        lock: int,
    ) -> None:
        self._source, self._target, self._names = source, target, names
        self._options, self._files, self._progress = options, files, progress
        self._work = target.with_name(target.name + WORK_SUFFIX)
        self._keys: list[Any] | None = None
        self._mending = MendingFolder(files, self._work / "volumes", lock)

    def run(self) -> UnpackReport:
        record = self._record()
        if self._target.exists():
            return self._finish_killed(record)
        self._keys = self._keys_at_hand(record)
        check_room(self._work, record.archive_size, self._progress)
        condition = self._unpack(record)
        needless = (README, record.names.identity)
        lost_signatures = [file.name for file in condition.lacking(record.beside) if file.name not in needless]
        signatures = self._bring_signatures(record, condition)
        self._files.publish(self._plain, self._target)
        self._files.remove_tree(self._work)
        return self._report(record, condition.findings, signatures, lost_signatures)

    def drop_plain(self) -> None:
        """Remove what was decrypted, where that can be done; what was mended stays for the next call."""
        with suppress(TargetError):
            self._files.remove(self._plain)
            if self._mending.has_mended():
                self._progress.note(f"what was mended stays in {self._work}: the same command goes on from there")
            else:
                self._files.remove_tree(self._work)

    def _report(
        self, record: SetRecord, findings: Sequence[Finding], signatures: int, lost_signatures: Sequence[str]
    ) -> UnpackReport:
        return UnpackReport(
            archive=self._target,
            archive_id=record.archive_id,
            findings=tuple(findings),
            signatures=signatures,
            lost_signatures=tuple(lost_signatures),
        )

    @property
    def _plain(self) -> Path:
        return self._work / self._target.name

    def _record(self) -> SetRecord:
        path = self._source / self._names.record
        try:
            with path.open("rb") as file:
                return decode_record(file.read(MAX_RECORD_SIZE), self._names.base)
        except (OSError, ValueError) as error:
            self._progress.note(f"{path}: {error}; it is looked for in the parity")
        return self._mending.record(self._source, self._names)

    def _finish_killed(self, record: SetRecord) -> UnpackReport:
        """Clean up behind a killed one that had given the archive its name. Raises TargetError for another archive."""
        try:
            with open_archive(self._target) as archive:
                is_same = archive.id == record.archive_id
        except ArchiveError:
            is_same = False
        if not is_same:
            raise TargetError(f"{self._target} exists already; choose another name")
        self._files.remove_tree(self._work)
        folder = f"{record.names.signatures}/"
        return self._report(record, (), sum(file.name.startswith(folder) for file in record.beside), ())

    def _unpack(self, record: SetRecord) -> Survey:
        """Write the archive and verify it; return what was found out about the volumes."""
        places = places_by_size(record, self._source)
        if places is not None:
            try:
                self._write(record, places)
            except (VolumeChangedError, NotDecryptableError) as error:
                self._check_key(error, record.volumes[0], places)
                self._progress.note(f"{error}; all volumes are looked at")
            else:
                return Survey(places=places)
        condition = self._survey(record)
        try:
            self._write(record, condition.places)
        except VolumeChangedError as error:
            raise DamagedVolumesError(f"{self._source}: {error}, and was when it was read before") from error
        except NotDecryptableError as error:
            raise self._refused(error) from error
        return condition

    def _check_key(self, error: Exception, first: SetFile, places: Mapping[str, Path]) -> None:
        """Raise KeyRefusedError at once where the volume with the header is as it was, and no key opens that."""
        if isinstance(error, NotDecryptableError) and error.in_header and sha256_of(places[first.name]) == first.sha256:
            raise self._refused(error) from error

    def _try_keys(self, first: SetFile, places: Mapping[str, Path]) -> None:
        """Raise KeyRefusedError where no key opens the first volume: mending may take hours, for nothing then."""
        if self._keys and first.name in places and first.size >= _HEADER:
            with places[first.name].open("rb") as reader:
                if not opens(reader, self._keys):
                    raise KeyRefusedError(
                        f"{self._source}: no key opens the volumes; the first one is as it was written"
                    )

    def _refused(self, error: NotDecryptableError) -> KeyRefusedError | DamagedVolumesError:
        if error.in_header:
            return KeyRefusedError(f"{self._source}: no key opens the volumes, which are as they were written")
        return DamagedVolumesError(
            f"{self._source}: the volumes are as they were written, and hold no whole stream: {error}"
        )

    def _survey(self, record: SetRecord) -> Survey:
        self._files.remove(self._plain)
        condition = survey(record, self._source)
        self._mending.take_mended(condition, (*record.volumes, *record.beside))
        lacking = condition.lacking([*record.volumes, *(file for file in record.beside if file.name != README)])
        if condition.lacking(record.volumes) or (lacking and self._has_parity()):
            self._try_keys(record.volumes[0], condition.places)
            check_room(self._work, record.archive_size + sum(file.size for file in lacking), self._progress)
            self._mending.mend(record, self._source, condition)
        return condition

    def _has_parity(self) -> bool:
        return (self._source / self._names.parity).is_file()

    def _write(self, record: SetRecord, places: Mapping[str, Path]) -> None:
        """Join, decrypt and verify into the file that will be the archive."""
        self._progress.expect("bytes", record.size)
        if self._keys is None:
            self._keys = self._mended_key(record, places)
        with self._files.create(self._plain) as output, SyncBehind() as disk:
            with (
                quick_turns(),
                ReadAhead(self._counted(record, places)) as reader,
                WriteBehind(partial(_write_bounded, disk, output, record)) as writer,
            ):
                if record.encrypted:
                    decrypt(reader, writer, self._keys)
                else:
                    while block := reader.read(BLOCK):
                        writer.write(block)
                writer.finish()
            output.flush()
            disk.begin(output.sync)  # the disk works while the processor verifies
            self._verify(record)
            disk.finish()

    def _counted(self, record: SetRecord, places: Mapping[str, Path]) -> Iterator[bytes]:
        for block in joined_blocks(record.volumes, places):
            yield block
            self._progress.advance("bytes", len(block))

    def _keys_at_hand(self, record: SetRecord) -> list[Any] | None:
        """Return the keys before a volume is read, as somebody may be asked for a passphrase.

        None where the protected one is not as it was written, and must be mended first.
        """
        if not record.encrypted:
            return []
        if self._options.identities:
            return read_identities([Path(path) for path in self._options.identities], self._options.ask)
        protected = next((file for file in record.beside if file.name == record.names.identity), None)
        if protected is None:
            raise KeyRefusedError(f"{self._source}: the volumes are encrypted; give the key with --identity FILE")
        path = self._source / protected.name
        return read_identities([path], self._options.ask) if sha256_of(path) == protected.sha256 else None

    def _mended_key(self, record: SetRecord, places: Mapping[str, Path]) -> list[Any]:
        own = record.names.identity
        if own not in places:
            raise DamagedVolumesError(f"{self._source}: the protected key is not as it was written", [f"{own}: lost"])
        return read_identities([places[own]], self._options.ask)

    def _verify(self, record: SetRecord) -> None:
        report = verify(self._plain, Level.STORED)
        errors = [problem for problem in report.problems if problem.severity == "error"]
        if errors or report.archive_id != record.archive_id:
            reason = f"{errors[0].member}: {errors[0].message}" if errors else f"its id is {report.archive_id}"
            raise DamagedVolumesError(
                f"{self._source}: the volumes are as they were written, but what they hold is not the archive "
                f"{record.archive_id}: {reason}"
            )

    def _bring_signatures(self, record: SetRecord, condition: Survey) -> int:
        """Write the signatures beside the archive to be; return how many they are."""
        folder = f"{record.names.signatures}/"
        sound = [file for file in record.beside if file.name.startswith(folder) and file.name in condition.places]
        for file in sound:
            self._bring(file, condition.places[file.name], signatures_folder(self._target))
        return len(sound)

    def _bring(self, signature: SetFile, place: Path, folder: Path) -> None:
        self._files.make_directory(folder)
        self._files.write(folder / signature.name.rpartition("/")[2], place.read_bytes())


def _write_bounded(disk: SyncBehind, output: OutputFile, record: SetRecord, block: memoryview) -> None:
    """Write no more than the archive has. Raises DamagedVolumesError."""
    if output.size + len(block) > record.archive_size:
        raise DamagedVolumesError(f"the volumes hold more than the {record.archive_size:,} bytes of the record")
    disk.write(output, block)
