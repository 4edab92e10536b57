"""The text of README.txt: how to read an archive in ten years with nothing of ours."""

from __future__ import annotations

from typing import Final

README_TEXT: Final = """\
This is an mlflow-archive: data of an MLflow tracking server (experiments, runs, params, tags, metric histories,
artifacts), written to be readable without the program that wrote it. Format: mlflow-archive, major version 1.

If this is one file (NAME.mlfa), it is an ordinary ZIP whose members are stored, not compressed:

    unzip NAME.mlfa -d NAME

What is inside

    manifest.json        every member with size and SHA-256, and what was exported from where and when (JSON)
    manifests/0001.json  one per export, never changed; manifest.json is a copy of the newest
    checksums.sha256     the SHA-256 of every member but manifest.json and itself
    tables/TABLE/*.parquet   the rows, as Parquet; the first number of a name is the export that wrote it
    packs/*.zst          the bytes of the artifacts, as Zstandard

1. Check that nothing was altered

    sha256sum -c checksums.sha256
    cmp manifest.json manifests/$(ls manifests | tail -n 1)

2. Read the rows

Open tables/runs/*.parquet, tables/params/*.parquet, tables/tags/*.parquet, tables/metrics/*.parquet and the others
with any Parquet reader (pandas, DuckDB, Polars, Spark, ...). Rows of one run are joined by the column run_id. If a run
occurs in several exports, the rows of the newest export count, in all tables. The table gaps lists what could not be
read when the archive was made; no rows there: nothing is known to be missing.

3. Get the bytes of an artifact

The table artifacts gives owner_id (the run), path, size and digest (the SHA-256 of the bytes). The table blobs gives
for that digest one row per piece, in the order of raw_offset: pack, frame_offset, frame_size, offset_in_frame and
raw_size. Each piece is, with these numbers:

    tail -c +$((frame_offset + 1)) PACK | head -c $frame_size | zstd -dc \\
        | tail -c +$((offset_in_frame + 1)) | head -c $raw_size

Write the pieces one behind the other; sha256sum of the result is the digest. A whole pack is also an ordinary .zst
file: zstd -dc PACK gives the bytes of all its artifacts, one behind the other.
"""
