"""The footer of a table part, proved before a Parquet library sees it.

Footers have no checksum of their own: a damaged one makes libraries give out wrong rows, leave rows out, or end the
whole process. So does one whose hash is right and whose columns nest tens of thousands deep.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.stored.thrift import CompactReader, ThriftError
from mlflow_archive.storage.members import MemberFile

MAX_FOOTER_SIZE: Final = 256 * 1024 * 1024
MAX_SCHEMA_SIZE: Final = 1024 * 1024
MAX_COLUMN_DEPTH: Final = 16
MIN_PART_SIZE: Final = 12  # magic at both ends and the size of the footer

_SCHEMA_FIELD: Final = 2  # of FileMetaData
_CHILDREN_FIELD: Final = 5  # of SchemaElement


def check_footer(file: MemberFile, member: Member) -> None:
    """Prove the footer of a part: its hash, or that of the whole part where the manifest states none, and its columns.

    Raises DamagedError (E012, E030).
    """
    length = int.from_bytes(file.read_at(file.size - 8, 4), "little") if file.size >= MIN_PART_SIZE else 0
    if member.footer_sha256 is None and file.sha256() != member.sha256:
        message = f"{file.name}: its SHA-256 is not the one that the manifest states"
        raise DamagedError(message, code="E012", member=file.name)
    if not 0 < length <= min(file.size - MIN_PART_SIZE, MAX_FOOTER_SIZE):
        message = f"{file.name}: it does not end in a Parquet footer"
        raise DamagedError(message, code="E030", member=file.name)
    footer = file.read_at(file.size - 8 - length, length + 8)
    if member.footer_sha256 is not None and hashlib.sha256(footer).hexdigest() != member.footer_sha256:
        message = f"{file.name}: its Parquet footer is damaged"
        raise DamagedError(message, code="E030", member=file.name)
    try:
        depth = _column_depth(footer[: min(length, MAX_SCHEMA_SIZE)])
    except ThriftError as error:
        message = f"{file.name}: its Parquet footer does not begin with its columns: {error}"
        raise DamagedError(message, code="E030", member=file.name) from error
    if depth > MAX_COLUMN_DEPTH:
        message = f"{file.name}: its columns nest {depth} deep, over the limit of {MAX_COLUMN_DEPTH}"
        raise DamagedError(message, code="E030", member=file.name)


def _column_depth(footer: bytes) -> int:
    """Return how deep the columns nest, 1 where none does. The fields of a footer are written in their order."""
    for number, value in CompactReader(footer).fields():
        if number == _SCHEMA_FIELD and isinstance(value, list):
            return _depth(value)
        if number >= _SCHEMA_FIELD:
            break
    raise ThriftError("there is no schema where it should be")


def _depth(elements: list[Any]) -> int:
    """Return the depth of a tree that is written as a list: each element says how many children follow."""
    deepest = 0
    waiting: list[int] = []
    for element in elements:
        while waiting and waiting[-1] == 0:
            waiting.pop()
        deepest = max(deepest, len(waiting))
        if waiting:
            waiting[-1] -= 1
        children = element.get(_CHILDREN_FIELD) if isinstance(element, dict) else None
        if isinstance(children, int) and children > 0:
            waiting.append(children)
    return deepest
