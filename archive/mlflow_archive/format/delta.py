"""A delta: an archive whose older members lie elsewhere, in its base (spec/format.md, "Deltas").

Its manifest is the one of the archive that is made by joining it to its base, with the required feature ``delta`` and
a key that names the base. So the manifest of the join follows from it, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from mlflow_archive.format.layout import manifest_name

if TYPE_CHECKING:
    from mlflow_archive.format.manifest import Manifest, Member

FEATURE: Final = "delta"
DELTA_MINOR: Final = 4
"""The minor version that brought deltas."""

_ARCHIVE_ID: Final = re.compile("[0-9a-f]{64}")
_KEYS: Final = {"base", "export", "minor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What a delta continues: the archive id of the base, the number of its newest export.

    ``minor`` is the minor version of the archive that is made by joining.
    """

    base: str
    export: int
    minor: int

    def to_json(self) -> dict[str, str | int]:
        return {"base": self.base, "export": self.export, "minor": self.minor}


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What a delta lists and does not hold: the archive id of its base, how many members lie there, and their bytes."""

    base: str
    members: int
    bytes: int

    def to_json(self) -> dict[str, str | int]:
        return {"base": self.base, "members": self.members, "bytes": self.bytes}


def elsewhere(manifest: Manifest) -> Elsewhere | None:
    """Return what of a delta lies in its base, None for a whole archive."""
    if manifest.delta is None:
        return None
    size = sum(member.size for member in manifest.elsewhere)
    return Elsewhere(base=manifest.delta.base, members=len(manifest.elsewhere), bytes=size)


def parse_delta(document: Mapping[str, Any]) -> Delta | None:
    """Return what a manifest states of a base, None where it is whole. Raises ValueError."""
    stated = document.get(FEATURE)
    if (FEATURE in document) != (FEATURE in document["required_features"]):
        raise ValueError(f"the key `{FEATURE}` and the required feature of that name go together, and one is missing")
    if stated is None:
        return None
    if not isinstance(stated, dict) or set(stated) != _KEYS:
        raise ValueError(f"`{FEATURE}` must be an object with {', '.join(sorted(_KEYS))}, and nothing else")
    base, export, minor = (stated[name] for name in ("base", "export", "minor"))
    if not isinstance(base, str) or not _ARCHIVE_ID.fullmatch(base):
        raise ValueError(f"{FEATURE}.base is no archive id: 64 digits of lower-case hex")
    if type(export) is not int or type(minor) is not int or export < 1 or minor < 0:
        raise ValueError(f"{FEATURE}.export and {FEATURE}.minor must be the numbers of an export and of a version")
    return Delta(base=base, export=export, minor=minor)


def divided(manifest: Manifest, delta: Delta) -> Manifest:
    """Return the manifest of a delta, given all members as ``members``: those of the base lie elsewhere.

    Raises ValueError where it is not that of a delta of this base.
    """
    if delta.export >= manifest.export_number:
        raise ValueError(f"it adds nothing to export {delta.export}: its last export is {manifest.export_number}")
    listed = manifest.member(manifest_name(delta.export))
    if listed is None or (listed.kind, listed.export, listed.sha256) != ("manifest", delta.export, delta.base):
        raise ValueError(f"its base is {delta.base}, and {manifest_name(delta.export)} is not listed with this SHA-256")
    return replace(
        manifest,
        members=tuple(member for member in manifest.members if member.export > delta.export),
        elsewhere=tuple(member for member in manifest.members if member.export <= delta.export),
        delta=delta,
    )


def as_delta(manifest: Manifest, base: Manifest, base_id: str) -> Manifest:
    """Return the manifest of a delta that gives ``manifest`` when it is joined to an archive of that id."""
    delta = Delta(base=base_id, export=base.export_number, minor=manifest.minor)
    features = tuple(sorted({*manifest.required_features, FEATURE}))
    return divided(replace(manifest, minor=max(manifest.minor, DELTA_MINOR), required_features=features), delta)


def joined(manifest: Manifest) -> Manifest:
    """Return the manifest of the archive that is made by joining a delta to its base; of a whole archive itself."""
    if manifest.delta is None:
        return manifest
    return replace(
        manifest,
        minor=manifest.delta.minor,
        required_features=tuple(name for name in manifest.required_features if name != FEATURE),
        members=all_members(manifest),
        elsewhere=(),
        delta=None,
    )


def all_members(manifest: Manifest) -> tuple[Member, ...]:
    """Return every member that a manifest lists, wherever it lies, in the order of the manifest."""
    return tuple(sorted((*manifest.members, *manifest.elsewhere), key=lambda member: member.path))
