"""Find an archive at a path and its manifest in it, also when one copy of the manifest is damaged."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace

from mlflow_archive.errors import DamagedError, FormatTooNewError, NotAnArchiveError
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, STAGING, manifest_name, manifest_number
from mlflow_archive.format.location import ArchivePlace, RemotePlace
from mlflow_archive.format.manifest import MAX_MANIFEST_SIZE, Manifest, archive_id, decode
from mlflow_archive.storage.members import DirectoryMembers, Members
from mlflow_archive.storage.remote.members import BucketMembers, open_remote
from mlflow_archive.storage.single_file import SingleFileMembers


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedManifest:
    """A manifest with its bytes. ``problems`` says which copies of it are damaged.

    ``last_export`` is the number of the archive's newest export where this is the manifest of an earlier one.
    """

    manifest: Manifest
    data: bytes
    problems: tuple[DamagedError, ...] = ()
    last_export: int | None = None

    @property
    def archive_id(self) -> str:
        """The SHA-256 of the manifest's bytes, in hex."""
        return archive_id(self.data)


def open_members(path: ArchivePlace) -> Members:
    """Open a directory or a single file, also in a bucket.

    Raises NotAnArchiveError, DamagedError for a file that is cut off; of a bucket also RemotePlaceError.
    """
    if isinstance(path, RemotePlace):
        return open_remote(path)
    if path.is_dir():
        return DirectoryMembers(path)
    if not path.exists():
        raise NotAnArchiveError(f"E001: {path} does not exist")
    return SingleFileMembers(path)


def read_manifest(members: Members) -> OpenedManifest:
    """Return the newest committed manifest.

    ``manifest.json`` and its copy ``manifests/NNNN.json`` must be equal; where they are not, the one that
    ``checksums.sha256`` names is taken and the other reported in ``problems``. Nothing is listed where both are sound.
    Raises NotAnArchiveError if nothing was ever committed here, FormatTooNewError, and DamagedError if no copy is good.
    """
    try:
        data = _read(members, MANIFEST)
    except DamagedError as error:
        if error.code != "E010":
            raise
        return _from_copies(members, _copies(members))
    try:
        manifest = decode(data, where=MANIFEST)
    except FormatTooNewError as error:
        return _if_damaged(members, _copies(members), data, error)
    except DamagedError as error:
        copies = _copies(members)
        if any(_read(members, name) == data for _, name in copies):
            raise  # both were written like this
        return _from_copies(members, copies, error)
    copy_name = manifest_name(manifest.export_number)
    with suppress(DamagedError):
        if _read(members, copy_name) == data:
            return OpenedManifest(manifest=manifest, data=data)
    return _vote(members, OpenedManifest(manifest=manifest, data=data), copy_name)


def _copies(members: Members) -> list[tuple[int, str]]:
    """Return number and name of the copies of manifests that are there, oldest first."""
    return sorted((number, name) for name in members.sizes() if (number := manifest_number(name)) is not None)


def _from_copies(members: Members, copies: list[tuple[int, str]], cause: DamagedError | None = None) -> OpenedManifest:
    # In a bucket the copy is the commit, and what follows may not be there yet (spec/format.md, section 14).
    if cause is None and isinstance(members, BucketMembers) and copies:
        _, name = copies[-1]
        data = _read(members, name)
        return OpenedManifest(manifest=decode(data, where=name), data=data)
    # In a directory an export that was not finished has a copy and no manifest yet, but it has its staging folder.
    unfinished = isinstance(members, DirectoryMembers) and any(n.startswith(f"{STAGING}/") for n in members.sizes())
    if not copies or (cause is None and unfinished):
        if cause is not None:
            raise cause
        raise NotAnArchiveError(_nothing_here(members))
    problem = cause or DamagedError(f"{MANIFEST} is missing; read from its copy", code="E010", member=MANIFEST)
    passed_over: list[DamagedError] = []
    for number, name in reversed(copies):
        try:
            return replace(_confirmed(members, number, name), problems=(problem, *passed_over))
        except DamagedError as error:
            passed_over.append(error)
    message = f"{MANIFEST} is missing or damaged ({problem}), and no copy of it is what {CHECKSUMS} states"
    raise DamagedError(message, code="E006", member=MANIFEST)


def _confirmed(members: Members, number: int, name: str) -> OpenedManifest:
    """Return a copy that is what it should be, by its number and by the checksums. Raises DamagedError."""
    data = _read(members, name)
    manifest = decode(data, where=name)
    if manifest.export_number != number or _listed(members, name) != archive_id(data):
        raise DamagedError(f"{name} is not what {CHECKSUMS} states", code="E005", member=name)
    return OpenedManifest(manifest=manifest, data=data)


def _if_damaged(
    members: Members, copies: list[tuple[int, str]], data: bytes, error: FormatTooNewError
) -> OpenedManifest:
    """Tell a damaged version number from a real one: a newer archive has no copy that this version can read.

    Only the copy of the same export counts; that of an older export would hide what the newer one holds.
    """
    cause = DamagedError(f"{MANIFEST} is damaged: {error}", code="E002", member=MANIFEST)
    exports = json.loads(data).get("exports")  # `decode` has read this JSON before it refused the version
    newest = len(exports) if isinstance(exports, list) else 0
    try:
        return _from_copies(members, [copy for copy in copies if copy[0] == newest], cause)
    except (DamagedError, FormatTooNewError):
        raise error from None


def _vote(members: Members, main: OpenedManifest, copy_name: str) -> OpenedManifest:
    """Decide between ``manifest.json`` and a copy that differs; a missing copy loses."""
    try:
        copy = members.open(copy_name)
        copy_data = copy.read_at(0, min(copy.size, MAX_MANIFEST_SIZE))
    except DamagedError as error:
        return OpenedManifest(manifest=main.manifest, data=main.data, problems=(error,))
    listed = _listed(members, copy_name)
    if listed == main.archive_id:
        problem = DamagedError(f"{copy_name} differs from {MANIFEST}", code="E005", member=copy_name)
        return OpenedManifest(manifest=main.manifest, data=main.data, problems=(problem,))
    if listed == archive_id(copy_data):
        problem = DamagedError(f"{MANIFEST} differs from {copy_name}; the copy is good", code="E005", member=MANIFEST)
        return OpenedManifest(manifest=decode(copy_data, where=copy_name), data=copy_data, problems=(problem,))
    message = f"{MANIFEST} and {copy_name} differ, and {CHECKSUMS} confirms neither"
    raise DamagedError(message, code="E006", member=MANIFEST)


def _listed(members: Members, name: str) -> str | None:
    """Return the SHA-256 that ``checksums.sha256`` lists for a member, if it can be read."""
    try:
        file = members.open(CHECKSUMS)
        lines = file.read_at(0, min(file.size, MAX_MANIFEST_SIZE)).decode("ascii", "replace").splitlines()
    except DamagedError:
        return None
    return next((line[:64] for line in lines if line[64:] == f"  {name}"), None)


def _read(members: Members, name: str) -> bytes:
    file = members.open(name)
    if file.size > MAX_MANIFEST_SIZE:
        raise DamagedError(f"{name} has {file.size} bytes, over the limit", code="E002", member=name)
    return file.read_at(0, file.size)


def _nothing_here(members: Members) -> str:
    if any(name.startswith(f"{STAGING}/") for name in members.sizes()):
        return (
            f"E001: {members.path} holds an export that was not finished and no committed one. "
            "Run the same export command again, it continues"
        )
    return f"E001: {members.path} is no archive: there is no {MANIFEST} in it"
