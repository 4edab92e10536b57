"""The commit of an export in a bucket (spec/format.md, section 14): one PUT of a key that must not exist.

The copy ``manifests/NNNN.json`` is the commit. ``README.txt``, ``checksums.sha256`` and ``manifest.json`` follow from
it and are shared by all writers: each replaces only the state of them that it has read, and never an older one a newer.
"""

from __future__ import annotations

from typing import Final

from mlflow_archive.errors import DamagedError, RemotePlaceError, TargetError
from mlflow_archive.format.checksums import checksums_text
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, README, manifest_name
from mlflow_archive.format.manifest import MAX_MANIFEST_SIZE, Manifest, archive_id, decode
from mlflow_archive.format.readme import README_TEXT
from mlflow_archive.storage.remote.store import (
    NoObjectError,
    ObjectRange,
    OtherObjectError,
    RangeError,
    RemoteStore,
)

_TRIES: Final = 8


class LostRaceError(TargetError):
    """Another writer has committed the export of that number."""


def commit_copy(store: RemoteStore, manifest: Manifest, data: bytes) -> None:
    """Write the copy of a manifest, which is the commit.

    Where it is there already, or the answer was lost, the key is read: the same bytes are our own. Raises LostRaceError
    for others, RemotePlaceError where nothing is there, or where it cannot be known.
    """
    name = manifest_name(manifest.export_number)
    try:
        store.put_new(name, data)
    except RemotePlaceError as error:
        answer = whole(store, name)
        if answer is None:
            raise
        if answer.data != data:
            raise LostRaceError(
                f"{store.place}: another writer has committed export {manifest.export_number} meanwhile, and nothing "
                "of this one counts; run it again with --append, and it adds what is new"
            ) from error


def complete(store: RemoteStore, manifest: Manifest, data: bytes) -> None:
    """Write what follows from a copy that is committed, unless a later writer has; repeated, it changes nothing.

    Raises TargetError where ``manifest.json`` is damaged, RemotePlaceError.
    """
    for _ in range(_TRIES):
        listed = whole(store, MANIFEST)
        if listed is not None and _covers(store, listed.data, manifest, data):
            return
        try:
            _write_readme(store, manifest)
            checksums = whole(store, CHECKSUMS)
            text = checksums_text(manifest, data).encode("ascii")
            if checksums is None or checksums.data != text:
                store.put_instead(CHECKSUMS, text, checksums)
            store.put_instead(MANIFEST, data, listed)
        except OtherObjectError:  # another writer completes this export, or a later one
            continue
        return
    message = f"{store.place}: others keep writing {MANIFEST}; the export is committed, and the next one completes it"
    raise TargetError(message)


def _covers(store: RemoteStore, listed: bytes, manifest: Manifest, data: bytes) -> bool:
    """Return whether ``manifest.json`` is that of an export, or of a later one."""
    if listed == data:
        return True
    try:
        number = decode(listed, where=MANIFEST).export_number
    except DamagedError as error:
        message = f"{store.place} is damaged ({error}); nothing is added to it. See what `verify` says"
        raise TargetError(message) from error
    if number == manifest.export_number:
        message = f"{store.place} is damaged (E005: {MANIFEST} differs from its copy); nothing is added to it"
        raise TargetError(f"{message}. See what `verify` says")
    return number > manifest.export_number


def _write_readme(store: RemoteStore, manifest: Manifest) -> None:
    """Write ``README.txt`` where the one that the manifest names is not there."""
    member, text = manifest.member(README), README_TEXT.encode()
    if member is None or member.sha256 != archive_id(text):
        return  # another version wrote it, and it is there
    present = whole(store, README)
    if present is None or present.data != text:
        store.put_instead(README, text, present)


def whole(store: RemoteStore, name: str) -> ObjectRange | None:
    """Return a whole object of the size that a manifest may have, None where there is none."""
    try:
        return store.get(name, 0, MAX_MANIFEST_SIZE)
    except NoObjectError:
        return None
    except RangeError:
        return ObjectRange(b"", 0, None, {})
