"""What follows from a manifest: the members that it does not list, and where each lies in a single file."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, manifest_name
from mlflow_archive.format.zipfile64 import laid_out
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.storage.members import BytesMember
from mlflow_archive.writer.target import checksums_text, single_file_order


def listing_of(opened: OpenedManifest) -> Iterator[BytesMember]:
    """Yield the members that no manifest lists: they follow from it."""
    yield BytesMember(MANIFEST, opened.data)
    yield BytesMember(manifest_name(opened.manifest.export_number), opened.data)
    yield BytesMember(CHECKSUMS, checksums_text(opened.manifest, opened.data).encode("ascii"))


def member_offsets(opened: OpenedManifest) -> dict[str, int]:
    """Return where each member begins in a single file that is as the writer makes it."""
    sizes = {member.path: member.size for member in opened.manifest.members}
    sizes |= {file.name: file.size for file in listing_of(opened)}
    entries = laid_out({name: sizes[name] for name in single_file_order(opened.manifest)})
    return {entry.name: entry.data_offset for entry in entries}
