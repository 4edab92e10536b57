"""Scan an archive: every row of every part, every text among the artifacts, and the manifest.

Also what a later export replaced is looked at: it is in the file. Each blob is read once, wherever it is an artifact.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.flow.report import Progress
from mlflow_archive.format.manifest import encode
from mlflow_archive.format.unknown_tables import database_table
from mlflow_archive.kinds import BY_ROW, TABLES, Table, owner_id
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs, StoredExtent
from mlflow_archive.reader.unknown_tables import unknown_groups
from mlflow_archive.scanning.credentials import ASSIGNED, TELLING_SIGN, TOKENS, is_secret, is_telling
from mlflow_archive.scanning.library import library_patterns
from mlflow_archive.scanning.patterns import CREDENTIAL, PERSONAL, Pattern
from mlflow_archive.scanning.report import (
    Find,
    ScanReport,
    artifact_rule,
    everywhere_rule,
    glob,
    masked,
    value_rule,
)
from mlflow_archive.scanning.searching import Hit, Searcher
from mlflow_archive.scanning.texts import BLOCK, blocks, why_not

_NO_TEXTS: Final = frozenset({"blobs", "fingerprints"})
_AT_ONCE: Final = 1_000
"""Blobs that are looked up together, and small ones that are looked through together."""

_SMALL: Final = 16 * 1024

_Artifact = tuple[str, str, str]
"""Owner kind, owner id, path."""


def scan_archive(archive: Archive, progress: Progress) -> ScanReport:
    """Return what of an open archive should not leave the house.

    Raises MissingExtraError without detect-secrets, ElsewhereError for a delta without its base, DamagedError.
    """
    scan = _Scan(archive)
    archive.require_whole("a scan")
    scan.manifest()
    for name in TABLES:
        if name not in _NO_TEXTS:
            scan.table(name, progress)
    scan.unknown_tables()
    scan.artifacts(progress)
    return scan.report


def searcher() -> Searcher:
    """Return what knows all patterns. Raises MissingExtraError."""
    return Searcher([*library_patterns(), *TOKENS, *ASSIGNED, *PERSONAL])


class _Scan:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._searcher = searcher()
        self.report = ScanReport(archive_id=archive.id)
        self._masked = cache(lambda text: self._searcher.without_values(text, masked))
        self._glob = cache(
            lambda text: glob(self._searcher.without_values(text, lambda value: "\x00")).replace("\x00", "*")
        )

    def manifest(self) -> None:
        for hit in self._searcher.column(pa.array([encode(self._archive.manifest).decode()])):
            find = Find(kind=hit.pattern.kind, name=hit.pattern.name, value=masked(hit.value))
            self.report.add(find, everywhere_rule(hit.pattern))

    def table(self, name: str, progress: Progress) -> None:
        table = TABLES[name]
        for member in self._archive.parts(name):
            for rows in self._archive.open_part(member).groups(None):
                self._rows(table, rows)
                progress.advance("rows", rows.num_rows)

    def _rows(self, table: Table, rows: pa.Table) -> None:
        telling = self._telling(table, rows)
        for at in telling:
            self._note(table, "value", rows, Hit(at, _BY_KEY, 0, rows["value"][at].as_py()))
        for column in _text_columns(rows, table.name):
            self.report.looked["values"] += rows.num_rows - rows[column].null_count
            for hit in self._searcher.column(rows[column]):
                if not (column == "value" and hit.text in telling):
                    self._note(table, column, rows, hit)

    def _telling(self, table: Table, rows: pa.Table) -> frozenset[int]:
        """Return the numbers of rows whose key says that their value is a credential."""
        if not {"key", "value"} <= set(table.column_names) or not pa.types.is_string(rows["value"].type):
            return frozenset()
        may_tell = pc.indices_nonzero(pc.match_substring_regex(rows["key"], TELLING_SIGN))
        pairs = zip(
            may_tell.to_pylist(), *(rows[name].take(may_tell).to_pylist() for name in ("key", "value")), strict=True
        )
        return frozenset(at for at, key, value in pairs if value is not None and is_telling(key) and is_secret(value))

    def _note(self, table: Table, column: str, rows: pa.Table, hit: Hit) -> None:
        row = rows.slice(hit.text, 1).select(table.key).to_pylist()[0]
        kind = row["owner_kind"] if table.entity == BY_ROW else str(table.entity)
        key = "/".join(str(row[name]) for name in table.key[len(table.owner) :] if name != "owner_kind")
        find = Find(
            kind=hit.pattern.kind,
            name=hit.pattern.name,
            value=masked(hit.value),
            table=table.name,
            column=column,
            owner_kind=kind,
            owner_id=self._masked(owner_id(table, row)),
            key=self._masked(key) if key else None,
        )
        of_key = self._glob(row["key"]) if {"key", "value"} <= set(table.column_names) else None
        self.report.add(find, value_rule(table.name, column, of_key, hit.pattern))

    def unknown_tables(self) -> None:
        for member in self._archive.manifest.members:
            if database_table(member) is None:
                continue
            for rows in unknown_groups(self._archive, member):
                for column in _text_columns(rows, ""):
                    self.report.looked["values"] += rows.num_rows - rows[column].null_count
                    for hit in self._searcher.column(rows[column]):
                        self._note_unknown(str(member.table), column, hit)
            columns = (word for _, word in member.unknown["columns"])
            self.report.not_looked["binary columns of unknown tables"] += sum(word == "binary" for word in columns)
        self.report.not_looked = +self.report.not_looked

    def _note_unknown(self, table: str, column: str, hit: Hit) -> None:
        pattern = hit.pattern
        find = Find(kind=pattern.kind, name=pattern.name, value=masked(hit.value), table=table, column=column)
        self.report.add(find, everywhere_rule(pattern))

    def artifacts(self, progress: Progress) -> None:
        places = self._places()
        blobs = Blobs(self._archive)
        small: list[tuple[bytes, Sequence[_Artifact]]] = []
        for digest, pieces in _in_packs(blobs, sorted(places)):
            with blobs.open(digest, pieces) as stream:
                head = stream.read(BLOCK)
                if (why := why_not(head)) is not None:
                    self.report.not_looked[why] += len(places[digest])
                    continue
                self.report.looked["artifacts"] += len(places[digest])
                if len(head) > _SMALL:
                    for line, hit in self._searcher.file(self._counted(blocks(stream, head), progress)):
                        self._note_artifacts(places[digest], line, hit)
                    continue
            small.append((b"".join(self._counted(blocks(io.BytesIO(), head), progress)), places[digest]))
            if len(small) == _AT_ONCE:
                self._small_artifacts(small)
                small = []
        self._small_artifacts(small)

    def _places(self) -> Mapping[str, Sequence[_Artifact]]:
        """Return by digest where it is an artifact."""
        columns = ("owner_kind", "owner_id", "path")
        places: defaultdict[str, dict[_Artifact, None]] = defaultdict(dict)
        for member in self._archive.parts("artifacts"):
            for rows in self._archive.open_part(member).groups(None):
                listed = zip(*(rows[name].to_pylist() for name in columns), strict=True)
                for digest, artifact in zip(rows["digest"].to_pylist(), listed, strict=True):
                    places[digest][artifact] = None
        return {digest: list(artifacts) for digest, artifacts in places.items()}

    def _small_artifacts(self, small: Sequence[tuple[bytes, Sequence[_Artifact]]]) -> None:
        for file, line, hit in self._searcher.small_files([data for data, _ in small]):
            self._note_artifacts(small[file][1], line, hit)

    def _note_artifacts(self, places: Sequence[_Artifact], line: int, hit: Hit) -> None:
        for owner_kind, owner, path in places:
            find = Find(
                kind=hit.pattern.kind,
                name=hit.pattern.name,
                value=masked(hit.value),
                owner_kind=owner_kind,
                owner_id=self._masked(owner),
                path=self._masked(path),
                line=line,
            )
            self.report.add(find, artifact_rule(self._glob(path)))

    def _counted(self, text: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
        for block in text:
            self.report.looked["bytes"] += len(block)
            progress.advance("bytes", len(block))
            yield block


def _in_packs(blobs: Blobs, digests: Sequence[str]) -> Iterator[tuple[str, list[StoredExtent]]]:
    """Yield some blobs with their extents, those beside each other in the order in which they lie."""
    for at in range(0, len(digests), _AT_ONCE):
        together = digests[at : at + _AT_ONCE]
        pieces = blobs.pieces(together)
        places = {digest: (extents[0].pack, extents[0].frame_offset) for digest, extents in pieces.items()}
        for digest in sorted(together, key=lambda digest: places.get(digest, ("", 0))):
            yield digest, pieces.get(digest, [])


_BY_KEY: Final = Pattern(kind=CREDENTIAL, name="value under a telling name", sign="", regex=re.compile(r"(?s).+"))


def _text_columns(rows: pa.Table, table: str) -> list[str]:
    digests = {"digest"} if table == "artifacts" else set()
    return [field.name for field in rows.schema if pa.types.is_string(field.type) and field.name not in digests]
