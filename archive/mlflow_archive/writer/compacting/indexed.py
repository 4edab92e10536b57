"""Which extents of a pack the blob index names: of these readers know, whatever else a label says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow.pieces import in_pieces
from mlflow_archive.format.blob_index import TOGETHER_BYTES, IndexedExtent, disagreement, labelled
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.packs import Extent
from mlflow_archive.reader.archive import Archive
from mlflow_archive.writer.packs import PlacedLabel

_Frames = Mapping[int, set[IndexedExtent]]
"""What the index names in a pack, by the offset of the frame."""


class IndexedExtents:
    """The blob index by pack; what it says of some packs together is in memory, until another one is asked for."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        packs = [member for member in archive.manifest.members if member.kind == "pack"]
        self._groups = list(
            in_pieces(sorted(packs, key=lambda pack: pack.path), lambda pack: pack.size, TOGETHER_BYTES)
        )
        self._frames: dict[str, _Frames] = {}

    def of(self, pack: Member, placed: PlacedLabel) -> set[Extent]:
        """Return the extents of a frame that the index names.

        Raises DamagedError (E041) where the index names one that the label does not: a new index is made of labels.
        """
        rows = labelled(placed.label.extents, placed.label.frame_size)
        indexed = self.frames(pack).get(placed.frame_offset, set())
        if unlabelled := indexed.difference(rows):
            message = f"{pack.path}: {disagreement(placed.frame_offset, min(row.digest for row in unlabelled))}"
            raise DamagedError(message, code="E041", member=pack.path)
        return {extent for extent, row in zip(placed.label.extents, rows, strict=True) if row in indexed}

    def frames(self, pack: Member) -> _Frames:
        """Return what the index names in a pack. Raises DamagedError for an index that cannot be read."""
        if pack.path not in self._frames:
            together = next(group for group in self._groups if pack in group)
            self._frames = self._read([member.path for member in together])
        return self._frames[pack.path]

    def _read(self, packs: list[str]) -> dict[str, _Frames]:
        frames: dict[str, dict[int, set[IndexedExtent]]] = {pack: defaultdict(set) for pack in packs}
        names = pa.array(packs, pa.string())
        for rows in self._archive.batches("blobs"):
            for row in rows.filter(pc.is_in(rows["pack"], value_set=names)).to_pylist():
                frames[row.pop("pack")][row.pop("frame_offset")].add(IndexedExtent(**row))
        return {pack: dict(rows_of) for pack, rows_of in frames.items()}
