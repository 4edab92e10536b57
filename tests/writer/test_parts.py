"""Parts as they lie on disk: encodings, statistics and checksums of the format, names, key ranges, their number."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.kinds import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.writer import side_by_side
from mlflow_archive.writer.merge import Piece, memory_piece, slices
from mlflow_archive.writer.parts import WrittenPart, part_writer
from mlflow_archive.writer.side_by_side import PartsWriter
from tests.support.chunks import pairs, points, table

METRICS, TAGS = TABLES["metrics"], TABLES["tags"]


def written(path: Path, name: str, *rows: pa.Table, level: int = 1) -> WrittenPart:
    with part_writer(Files(), path, TABLES[name], level=level) as part:
        for some in rows:
            part.write(some)
        return part.finish()


def test_a_part_is_as_the_format_says(tmp_path: Path) -> None:
    rows = [table("metrics", points(run_id, "loss", [1.0, 2.0, 3.0])) for run_id in ("a" * 32, "b" * 32)]
    path = tmp_path / "tables" / "metrics" / "0001-00000.parquet"
    part = written(path, "metrics", rows[0], rows[0].slice(0, 0), rows[1])
    data = path.read_bytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") :]
    assert part == WrittenPart(
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        rows=6,
        key_min="a" * 32,
        key_max="b" * 32,
        footer_sha256=hashlib.sha256(footer).hexdigest(),
    )
    assert sorted(path.parent.iterdir()) == [path]
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        assert file.read().equals(pa.concat_tables(rows))
        metadata = file.metadata
        assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [3, 3]
        group = metadata.row_group(0)
        columns = {METRICS.column_names[at]: group.column(at) for at in range(group.num_columns)}
        assert {column.compression for column in columns.values()} == {"ZSTD"}
        assert {name: set(column.encodings) - {"RLE"} for name, column in columns.items()} == {
            "run_id": {"PLAIN", "RLE_DICTIONARY"},
            "key": {"PLAIN", "RLE_DICTIONARY"},
            "step": {"DELTA_BINARY_PACKED"},
            "timestamp": {"PLAIN", "RLE_DICTIONARY"},
            "value": {"BYTE_STREAM_SPLIT"},
            "dataset_name": {"PLAIN", "RLE_DICTIONARY"},
            "dataset_digest": {"PLAIN", "RLE_DICTIONARY"},
        }
        assert {name for name, column in columns.items() if not column.is_stats_set} == {"value"}
        assert [METRICS.column_names[one.column_index] for one in group.sorting_columns] == list(METRICS.key)
        assert metadata.format_version == "2.6"
        assert metadata.metadata is None  # no schema of Arrow's beside that of Parquet


def test_the_range_of_keys_is_over_all_rows_and_empty_without_any(tmp_path: Path) -> None:
    def tags(*run_ids: str) -> pa.Table:
        return table("tags", [row for run_id in run_ids for row in pairs(run_id, {"k": "v"})])

    part = written(tmp_path / "a", "tags", tags("b", "d"), tags("a", "c"), tags("b"))
    assert (part.rows, part.key_min, part.key_max) == (5, "a", "d")
    part = written(tmp_path / "b", "tags")
    assert (part.rows, part.key_min, part.key_max) == (0, "", "")
    member = part.member("tables/tags/0002-00000.parquet", TAGS, 2)
    assert (member.path, member.kind, member.export, member.table) == (
        "tables/tags/0002-00000.parquet",
        "table",
        2,
        "tags",
    )
    assert (member.size, member.sha256, member.rows) == (part.size, part.sha256, 0)
    assert (member.key_min, member.key_max, member.footer_sha256) == ("", "", part.footer_sha256)


def test_the_level_of_compression_counts(tmp_path: Path) -> None:
    rows = table("tags", pairs("a" * 32, {str(n): str(n * n * n) for n in range(4000)}))
    assert written(tmp_path / "b", "tags", rows, level=19).size < written(tmp_path / "a", "tags", rows, level=1).size


def test_a_part_that_fails_does_not_appear(tmp_path: Path) -> None:
    def fail() -> None:
        with part_writer(Files(), tmp_path / "a", TAGS, level=1) as part:
            part.write(table("tags", pairs("a", {"k": "v"})))
            sizes.append(part.size)
            raise ZeroDivisionError

    sizes: list[int] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "a").exists()
    assert [(tmp_path / "a.tmp").stat().st_size] == sizes != [0]


def tagged(run_id: str, stored: int) -> Piece:
    """Return a piece of one row that claims to take a size in its part."""
    piece = memory_piece(table("tags", pairs(run_id, {"k": "v"})), TAGS)
    return Piece(low=run_id, high=run_id, nbytes=stored * 4, stored=stored, load=piece.load)


def names_of(root: Path, pieces: list[Piece], jobs: int) -> list[tuple[str, str, int]]:
    writer = PartsWriter(files=Files(), root=root, export=3, level=1, jobs=jobs)
    return [(name, part.key_min, part.rows) for _, name, part in writer.write({"tags": pieces})]


@pytest.mark.parametrize(
    ("stored", "jobs", "parts"),
    [(3, 2, ["abcd"]), (4, 2, ["ab", "cd"]), (4, 1, ["abcd"]), (4, 9, ["ab", "cd"]), (10, 1, ["ab", "cd"])],
)
def test_a_large_table_has_a_part_for_each_of_two_threads_and_no_part_is_very_large(
    stored: int, jobs: int, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "LARGE_BYTES", 16)
    monkeypatch.setattr(side_by_side, "PART_BYTES", 20)
    monkeypatch.setattr(side_by_side, "_SMALL_BYTES", 8)
    monkeypatch.setattr(side_by_side, "slices", partial(slices, slice_bytes=1))
    pieces = [tagged(run_id, stored) for run_id in "abcd"]
    assert names_of(tmp_path, pieces, jobs) == [
        (f"tables/tags/0003-{number:05d}.parquet", keys[0], len(keys)) for number, keys in enumerate(parts)
    ]
