"""What a signature covers: the bytes of a manifest, and so the members that it lists and the exports before it."""

from __future__ import annotations

import hashlib

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.delta import joined
from mlflow_archive.format.earlier import changed_since as changed
from mlflow_archive.format.layout import MANIFEST, manifest_name
from mlflow_archive.format.manifest import MAX_MANIFEST_SIZE, decode, encode
from mlflow_archive.reader.archive import Archive


def manifest_bytes(archive: Archive, export: int) -> bytes:
    """Return the manifest as an export committed it; of a delta that of the archive which it makes with its base.

    Raises DamagedError where it is not there as it was.
    """
    name = manifest_name(export)
    names: tuple[str, ...]
    if export == archive.manifest.export_number:
        sha256, names = archive.id, (MANIFEST, name)  # one of the two may be damaged
    else:
        sha256 = next((member.sha256 for member in archive.manifest.members if member.path == name), "")
        names = (name,)
    for path in names:
        try:
            file = archive.members.open(path)
            data = file.read_at(0, min(file.size, MAX_MANIFEST_SIZE))
        except DamagedError:
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data if archive.manifest.delta is None else encode(joined(archive.manifest))
    raise DamagedError(f"{name} is not there as it was committed", code="E012", member=name)


def changed_since(archive: Archive, export: int, data: bytes) -> str | None:
    """Say what of an earlier manifest the newest one does not hold any more, None where it holds all.

    An export that adds to an archive changes nothing that is there, so only forgery or damage can do so.
    """
    change = changed(decode(data, where=manifest_name(export)), archive.manifest)
    return None if change is None else f"{change[0]} was signed and is {change[1]}"
