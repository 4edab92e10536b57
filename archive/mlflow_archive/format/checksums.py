"""``checksums.sha256``: what ``sha256sum -c`` reads (spec/format.md, section 5)."""

from __future__ import annotations

from mlflow_archive.format.layout import manifest_name
from mlflow_archive.format.manifest import Manifest, archive_id


def checksums_text(manifest: Manifest, data: bytes) -> str:
    """Return what checksums.sha256 is for a manifest with these bytes; of a delta, what lies in it."""
    lines = [(member.path, member.sha256) for member in manifest.members]
    lines.append((manifest_name(manifest.export_number), archive_id(data)))
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(lines))
