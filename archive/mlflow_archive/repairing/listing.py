"""What follows from a manifest: where each member lies in a single file."""

from __future__ import annotations

from mlflow_archive.format.zipfile64 import laid_out
from mlflow_archive.reader.stored.listing import listing_of
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.writer.target import single_file_order


def member_offsets(opened: OpenedManifest) -> dict[str, int]:
    """Return where each member begins in a single file that is as the writer makes it."""
    sizes = {member.path: member.size for member in opened.manifest.members}
    sizes |= {file.name: file.size for file in listing_of(opened)}
    entries = laid_out({name: sizes[name] for name in single_file_order(opened.manifest)})
    return {entry.name: entry.data_offset for entry in entries}
