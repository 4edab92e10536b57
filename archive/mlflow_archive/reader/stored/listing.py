"""The members that no manifest lists: they follow from it."""

from __future__ import annotations

from mlflow_archive.format.checksums import checksums_text
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, manifest_name
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.storage.members import BytesMember


def listing_of(opened: OpenedManifest) -> tuple[BytesMember, ...]:
    """Return manifest, copy and checksums of the newest export."""
    copy = manifest_name(opened.manifest.export_number)
    checksums = checksums_text(opened.manifest, opened.data).encode("ascii")
    return BytesMember(MANIFEST, opened.data), BytesMember(copy, opened.data), BytesMember(CHECKSUMS, checksums)
