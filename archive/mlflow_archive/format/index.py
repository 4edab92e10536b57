"""The index of an archive: what an export must know of its base, in one small file (spec/index.md).

    MLFAINDX · manifest · known · with gaps · groups · blobs · header (JSON) · size of the header · SHA-256 of all that

Ids, names and values of objects are in it as digests only, but for experiments, which tell one source from another.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.manifest import canonical_json

MAGIC: Final = b"MLFAINDX"
SECTIONS: Final = ("manifest", "known", "with_gaps", "groups", "blobs")
KEY_SIZE: Final = 16
DIGEST_SIZE: Final = 32
KNOWN: Final = struct.Struct(f"{KEY_SIZE}s{DIGEST_SIZE}s{KEY_SIZE}s")
"""Key, fingerprint, the beginning of ``contents``; zeros for none."""
WITH_GAPS: Final = struct.Struct(f"{KEY_SIZE}s{DIGEST_SIZE}s")
"""Key, and the digest of all rows of an entity with gaps."""
GROUP: Final = struct.Struct(f"{KEY_SIZE}s{KEY_SIZE}s")
"""Key of the table and of what its rows share, and the beginning of their digest."""
TAIL: Final = struct.Struct(f"<I{DIGEST_SIZE}s")
RECORD_SIZES: Final = {
    "known": KNOWN.size,
    "with_gaps": WITH_GAPS.size,
    "groups": GROUP.size,
    "blobs": DIGEST_SIZE,
}

_NAME: Final = "mlflow-archive-index"
_VERSION: Final = 1
_NO_CONTENTS: Final = bytes(KEY_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexHeader:
    """What an index states in plain words. ``sections`` are sizes in bytes, in the order of ``SECTIONS``.

    ``experiments`` are id, creation time in milliseconds and name; ``gaps`` those of no object, as columns of the table
    ``gaps``; ``unknown_tables`` names each with the digest of its rows.
    """

    archive_id: str
    sections: Mapping[str, int]
    experiments: Sequence[tuple[str, int | None, str | None]]
    gaps: Sequence[Mapping[str, Any]]
    registered_models: bool
    unknown_tables: Mapping[str, str] = field(default_factory=dict)


def encode_header(header: IndexHeader) -> bytes:
    """Return a header as canonical JSON."""
    return canonical_json(
        {
            "format": {"name": _NAME, "version": _VERSION},
            "archive_id": header.archive_id,
            "sections": {name: header.sections[name] for name in SECTIONS},
            "experiments": [list(row) for row in header.experiments],
            "gaps": [dict(row) for row in header.gaps],
            "registered_models": header.registered_models,
            "unknown_tables": dict(header.unknown_tables),
        }
    )


def decode_header(data: bytes) -> IndexHeader:
    """Read a header. Raises ValueError for one that is not of this version."""
    document = json.loads(data)
    if document.get("format") != {"name": _NAME, "version": _VERSION}:
        raise ValueError(f"it is of the format {document.get('format')}, expected {_NAME} of version {_VERSION}")
    sections = {name: int(document["sections"][name]) for name in SECTIONS}
    if uneven := [name for name, size in RECORD_SIZES.items() if sections[name] % size]:
        raise ValueError(f"its sections {', '.join(uneven)} hold no whole number of records")
    return IndexHeader(
        archive_id=document["archive_id"],
        sections=sections,
        experiments=[(row[0], row[1], row[2]) for row in document["experiments"]],
        gaps=document["gaps"],
        registered_models=document["registered_models"],
        unknown_tables=document["unknown_tables"],
    )


def entity_key(kind: str, entity_id: str) -> bytes:
    """Return what stands for an entity in an index."""
    return _key("entity", kind, entity_id)


def group_key(table: str, *values: str) -> bytes:
    """Return what stands in an index for the rows of a table that share some values."""
    return _key("rows", table, *values)


def _key(*texts: str) -> bytes:
    return hashlib.sha256(canonical_json(texts)).digest()[:KEY_SIZE]


def encode_known(kind: str, entity_id: str, fingerprint: Fingerprint) -> bytes:
    """Return the record of an entity that is not read again where it is unchanged."""
    contents = bytes.fromhex(fingerprint.contents)[:KEY_SIZE] if fingerprint.contents else _NO_CONTENTS
    return KNOWN.pack(entity_key(kind, entity_id), bytes.fromhex(fingerprint), contents)


def decode_known(record: bytes) -> tuple[bytes, Fingerprint]:
    """Return key and fingerprint of a record; of ``contents`` the index has only the beginning."""
    key, value, contents = KNOWN.unpack(record)
    return key, Fingerprint(value.hex(), None if contents == _NO_CONTENTS else contents.hex())
