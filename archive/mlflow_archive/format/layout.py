"""Names of members (spec/format.md, "Members").

Physical names are ours alone: lower-case ``[a-z0-9._-]`` parts joined by ``/``. Names that come from MLflow are
data in a column and never become a path.
"""

from __future__ import annotations

import re
from typing import Final

MANIFEST: Final = "manifest.json"
CHECKSUMS: Final = "checksums.sha256"
README: Final = "README.txt"
STAGING: Final = "staging"
SINGLE_FILE_SUFFIX: Final = ".mlfa"
MAX_NAME_LENGTH: Final = 200

_NAME = re.compile(r"[a-z0-9._-]+(/[a-z0-9._-]+)*")
_MANIFEST_COPY = re.compile(r"manifests/([0-9]{4})\.json")
_NUMBERED = re.compile(r"(?:manifests/|tables/[a-z_]+/|packs/)([0-9]{4})[-.].*")


def is_member_name(name: str) -> bool:
    """Return whether a name may be a member: nothing absolute, no ``.`` or ``..`` part, at most 200 characters.

    ``README.txt`` is the one name with capital letters, for the person who looks into the folder.
    """
    return name == README or (
        len(name) <= MAX_NAME_LENGTH
        and _NAME.fullmatch(name) is not None
        and not any(part in (".", "..") for part in name.split("/"))
    )


def part_name(table: str, export: int, number: int) -> str:
    """Return the member name of a table part.

    >>> part_name("runs", 1, 0)
    'tables/runs/0001-00000.parquet'
    """
    return f"tables/{table}/{export:04d}-{number:05d}.parquet"


def pack_name(export: int, number: int) -> str:
    """Return the member name of a pack."""
    return f"packs/{export:04d}-{number:05d}.zst"


def manifest_name(export: int) -> str:
    """Return the name of the immutable copy of an export's manifest."""
    return f"manifests/{export:04d}.json"


def manifest_number(name: str) -> int | None:
    """Return the export number of a manifest copy's name, None for any other name."""
    match = _MANIFEST_COPY.fullmatch(name)
    return int(match[1]) if match else None


def export_number(name: str) -> int | None:
    """Return the export that a part, pack or manifest copy was written by, None for other names."""
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) if match else None
