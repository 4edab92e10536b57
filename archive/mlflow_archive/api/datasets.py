"""The parts of a table as pyarrow datasets, read in place and with page checksums on, for engines that take those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from fsspec.spec import AbstractFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive


class _MemberFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec is untyped
    """Members of an open archive by name, whichever form it has."""

    cachable = False

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self._members = {member.path: member for member in archive.manifest.members}
        self._archive = archive

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        if path not in self._members:
            raise FileNotFoundError(path)
        return {"name": path, "type": "file", "size": self._members[path].size}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise ValueError("an archive is read-only")
        return self._archive.open_member(self._members[path]).reader()


def datasets(archive: Archive, name: str) -> dict[int, ds.Dataset]:
    """Return a dataset for each export that wrote rows of a table, with exactly the table's schema.

    Rows of entities that a later export holds, too, are in it. Footers are proved first: DamagedError (E012, E030).
    """
    system = PyFileSystem(FSSpecHandler(_MemberFileSystem(archive)))
    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    texts = {column.name for column in TABLES[name].columns if column.type == pa.string()}
    reading = ds.ParquetReadOptions(dictionary_columns=texts)
    parquet = ds.ParquetFileFormat(read_options=reading, default_fragment_scan_options=checked)
    members_by_export: dict[int, list[Member]] = {}
    for member in archive.parts(name):
        archive.open_part(member)
        members_by_export.setdefault(member.export, []).append(member)
    return {
        export: _dataset(members, TABLES[name].schema, parquet, system) for export, members in members_by_export.items()
    }


def _dataset(members: Sequence[Member], schema: pa.Schema, parquet: Any, system: PyFileSystem) -> ds.Dataset:
    fragments = [parquet.make_fragment(member.path, filesystem=system) for member in members]
    # Columns are nullable to an engine: a part of an older version may lack one. Texts stay as they lie on disk.
    lenient = pa.schema([_encoded(field).with_nullable(True) for field in schema])
    return ds.FileSystemDataset(fragments, lenient, parquet, system)


def _encoded(field: pa.Field) -> pa.Field:
    return field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.type == pa.string() else field
