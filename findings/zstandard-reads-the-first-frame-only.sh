#!/usr/bin/env bash
# A .zst file may hold several frames, and skippable ones between them; the zstd command joins them. Of the ways to
# decompress that python-zstandard has, two stop after the first frame without an error.
#
# Seen with zstandard 0.25.0 on the frames "one " and "two ":
#   decompress, read_to_iter   b"one "        copy_stream, open   b"one two "
# and with a skippable frame before them: read_to_iter gives b"" without an error, decompress raises ZstdError
# "decompressed 0 bytes; expected 4". Expected: everything, or an error.
# What follows for who reads such files in Python: zstandard.open, and every length checked.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check zstandard==0.25.0
cat > show.py <<'P'
import io

import zstandard

frames = b"".join(zstandard.ZstdCompressor().compress(text) for text in (b"one ", b"two "))
labelled = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note" + frames


def decompress(data):
    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=100)
    except zstandard.ZstdError as error:
        return str(error)


def copied(data):
    target = io.BytesIO()
    zstandard.ZstdDecompressor().copy_stream(io.BytesIO(data), target)
    return target.getvalue()


WAYS = {
    "decompress": decompress,
    "read_to_iter": lambda data: b"".join(zstandard.ZstdDecompressor().read_to_iter(io.BytesIO(data))),
    "copy_stream": copied,
    "open": lambda data: zstandard.open(io.BytesIO(data)).read(),
}
seen = {name: (read(frames), read(labelled)) for name, read in WAYS.items()}
for name, found in seen.items():
    print(name, found)
assert seen["decompress"][0] == seen["read_to_iter"][0] == b"one "
assert "decompressed 0 bytes" in seen["decompress"][1]
assert seen["read_to_iter"][1] == b""
assert seen["copy_stream"] == seen["open"] == (b"one two ", b"one two ")
P
venv/bin/python show.py
echo "as seen before"
