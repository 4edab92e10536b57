"""What is changed in bytes: of a part, its pages and footer; of the files beside the manifest; of a single file."""

from __future__ import annotations

from random import Random
from typing import Final

import pyarrow as pa

from tests.hostile.contents import Contents
from tests.hostile.texts import EVERY, PATHS
from tests.spec.drafts import Files, Row

_NAMES: Final = (
    "manifest.json",
    "checksums.sha256",
    "manifests/0001.json",
    "manifests/0009.json",
    "README.TXT",
    "tables/runs",
    "tables/runs/0001-00000.parquet",
    "tables/blobs/9999-99999.parquet",
    "packs/0001-00000.zst/x",
    "staging/x",
    "a.tmp",
    "a" * 200,
    "a" * 201,
    "a/" * 90 + "a",
    "con",
    "-rf",
    "packs/\u00fc.zst",
)
"""Names of members, or nearly."""


def page(contents: Contents, random: Random) -> str:
    """Change a byte of the pages of a part, its hash right: a CRC finds what is behind a header, nothing the header."""
    path, at, bit = random.choice(sorted(contents.tables)), random.random(), random.randrange(8)
    only_first = random.random() < 0.5

    def edit(members: Files) -> None:
        data = bytearray(members[path])
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        data[4 + int(at * (min(60, footer - 4) if only_first else footer - 4))] ^= 1 << bit
        members[path] = bytes(data)

    contents.member_edits.append(edit)
    return f"bit {bit} at {at:.3f} of the pages of {path}"


def footer(contents: Contents, random: Random) -> str:
    """Change a byte of a part's footer, its hash right."""
    path, at, new = random.choice(sorted(contents.tables)), random.random(), random.randrange(256)

    def edit(members: Files) -> None:
        data = bytearray(members[path])
        length = int.from_bytes(data[-8:-4], "little")
        data[len(data) - 8 - length + int(at * (length + 8))] = new
        members[path] = bytes(data)

    contents.member_edits.append(edit)
    return f"byte {new} at {at:.3f} of the footer of {path}"


def statistics(contents: Contents, random: Random) -> str:
    """Let the footer state another smallest or largest value: readers skip row groups by them."""
    texts = [path for path, table in contents.tables.items() if table.field(0).type == pa.string()]
    path = random.choice(sorted(texts))
    first = contents.tables[path].column(0)[0].as_py()

    def edit(members: Files) -> None:
        data = members[path]
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        old = first.encode()
        members[path] = data[:start] + data[start:].replace(old, old[:-1] + b"~")

    contents.member_edits.append(edit)
    return f"statistics of {path}"


def swapped(contents: Contents, random: Random) -> str:
    """Let a member be another one, or something else."""
    names = sorted({*contents.tables, *contents.packs, *contents.texts})
    one, other = random.choice(names), random.choice([*names, ""])

    def edit(members: Files) -> None:
        members[one] = members[other] if other else random.choice(EVERY).encode("utf-8", "surrogatepass")

    contents.member_edits.append(edit)
    return f"{one} is {other or 'text'}"


def beside(contents: Contents, random: Random) -> str:
    """Change what lies beside the members: checksums, the copy, files that nobody lists."""
    manner = random.choice(("checksums", "copy", "no copy", "stray", "staging", "no manifest", "old copy"))

    def edit(files: Files) -> None:
        copy = max(name for name in files if name.startswith("manifests/"))
        if manner == "checksums":
            files["checksums.sha256"] = random.choice(EVERY).encode("utf-8", "surrogatepass") * 3
        elif manner == "copy":
            files[copy] = files[copy].replace(b"vector", b"VECTOR")
        elif manner in ("no copy", "no manifest"):
            del files[copy if manner == "no copy" else "manifest.json"]
        else:
            files[{"stray": "notes.txt", "staging": "staging/x"}.get(manner, "manifests/0009.json")] = b"{}"

    contents.file_edits.append(edit)
    return f"beside the members: {manner}"


def renamed(contents: Contents, random: Random) -> str:
    """Give a file another name, one that leads out or that the format does not have; in a single file."""
    new = random.choice(PATHS).encode("ascii", "replace").decode().replace("\x00", "0")

    def edit(files: Files) -> None:
        name = random.choice(sorted(files))
        files[new or "x"] = files.pop(name)

    contents.file_edits.append(edit)
    contents.stays_inside = False
    return f"a file is named {new[:40]!r}"


def named(contents: Contents, random: Random) -> str:
    """Give a member another name everywhere: in the manifest, in the checksums, and its file."""
    paths = sorted({*contents.tables, *contents.packs, *contents.texts})
    old, new = random.choice(paths), random.choice((*PATHS, *_NAMES))
    shown = new.encode("ascii", "replace").decode().replace("\x00", "0") or "x"

    def edit(document: Row) -> None:
        for entry in document["members"]:
            if entry["path"] == old:
                entry["path"] = new
        document["members"].sort(key=lambda entry: str(entry["path"]))

    contents.document_edits.append(edit)
    contents.file_edits.append(lambda files: files.update({shown: files.pop(old)}))
    contents.stays_inside = False
    return f"{old} is named {new[:40]!r}"


def in_single_file(data: bytes, random: Random) -> tuple[bytes, str]:
    """Change bytes of a single file in its records: local headers, the central directory, the end."""
    changed = bytearray(data)
    starts = [at for at in range(len(data) - 4) if data[at : at + 2] == b"PK" and data[at + 2] in (1, 3, 5, 6)]
    at = min(random.choice(starts) + random.randrange(60), len(data) - 1)
    for offset in range(random.choice((1, 1, 4, 8))):
        if at + offset < len(changed):
            changed[at + offset] = random.choice((0, 1, 0xFF, random.randrange(256)))
    return bytes(changed), f"the single file at byte {at}"


FILES: Final = (page, page, page, footer, statistics, swapped, beside, renamed, named, named)
