"""What is wrong in each vector: one fault each, named by the code it must yield and a word or two.

Where the fault lies deeper than bytes, the hashes above it are right. ``also`` holds the codes that cannot but follow
from the fault, such as E042 for a blob whose frame does not decode.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.format.packs import MAX_FRAME_RAW
from tests.spec.drafts import (
    COPY,
    PACK,
    RUN_A,
    WORLD,
    Draft,
    Files,
    Frame,
    Row,
    base_rows,
    compress,
    encode_part,
    make_table,
    part,
    sha,
)

Rows = dict[str, list[Row]]
Tables = dict[str, pa.Table]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A vector: what is wrong in words, the edits that make it, codes that follow, and the form."""

    what: str
    draft: Draft
    also: tuple[str, ...] = ()
    single: bool = False


def deep(what: str, *also: str, **edits: Any) -> Fault:
    """Return a fault inside of members; in the single-file form, as that is one file."""
    return Fault(what=what, draft=Draft(**edits), also=also, single=True)


def flat(what: str, *also: str, **edits: Any) -> Fault:
    """Return a fault in the listing or in bytes; in the directory form."""
    return Fault(what=what, draft=Draft(**edits), also=also)


def both(change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    """Change the manifest and its copy alike, and let checksums.sha256 agree."""

    def edit(files: Files) -> None:
        old = files["manifest.json"]
        new = change(old)
        files["manifest.json"] = files[COPY] = new
        files["checksums.sha256"] = files["checksums.sha256"].replace(sha(old).encode(), sha(new).encode())

    return edit


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def change(name: str, how: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        files[name] = how(files[name])

    return edit


def drop(name: str) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        del files[name]

    return edit


def add(name: str, data: bytes) -> Callable[[Files], None]:
    return lambda files: files.update({name: data})


def document(**keys: Any) -> Callable[[Row], None]:
    return lambda found: found.update(keys)


def member(name: str, /, **keys: Any) -> Callable[[Row], None]:
    def edit(found: Row) -> None:
        next(entry for entry in found["members"] if entry["path"] == name).update(keys)
        found["members"].sort(key=lambda entry: entry["path"])

    return edit


def table(name: str, how: Callable[[pa.Table], pa.Table]) -> Callable[[Tables], None]:
    def edit(tables: Tables) -> None:
        tables[part(name)] = how(tables[part(name)])

    return edit


def row(name: str, index: int, **values: Any) -> Callable[[Rows], None]:
    return lambda rows: rows[name][index].update(values)


def blob(data: bytes, **values: Any) -> Callable[[Rows], None]:
    """Change the row of the blob index of a blob."""
    return lambda rows: next(r for r in rows["blobs"] if r["digest"] == sha(data)).update(values)


def in_pairs(data: bytes) -> bytes:
    """Return a part with row groups of two rows."""
    return encode_part(pq.ParquetFile(io.BytesIO(data)).read(), group_rows=2)


def nested(depth: int) -> list[Any]:
    """Return a list in a list in a list, and so on."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def one_text(rows: int, characters: int) -> bytes:
    """Return a part of params in which very many rows refer to one long text in the dictionary of ``value``."""
    few = make_table("params", base_rows()["params"]).slice(0, 1).drop_columns(["value"])
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * characters]))
    field = pa.field("value", texts.type, nullable=False)
    keys = few.take(pa.array([0] * rows, pa.int64())).set_column(
        1, pa.field("key", pa.string(), nullable=False), pa.array([f"{number:06}" for number in range(rows)])
    )
    return encode_part(keys.append_column(field, texts), dictionary=True)


def text_of_bytes(rows: pa.Table, raw: bytes) -> pa.Table:
    """Return params with bytes as their first value that claim to be text."""
    values = pa.array([raw, *(value.encode() for value in rows["value"].to_pylist()[1:])], pa.binary())
    array = pa.Array.from_buffers(pa.string(), len(values), values.buffers())
    return rows.set_column(2, rows.schema.field("value"), array)


def last_frame(**values: Any) -> Callable[[list[Frame]], None]:
    def edit(frames: list[Frame]) -> None:
        for name, value in values.items():
            setattr(frames[-1], name, value)

    return edit


def nulled(rows: pa.Table) -> pa.Table:
    values = pa.array([None, *rows["value"].to_pylist()[1:]], pa.string())
    return rows.set_column(2, pa.field("value", pa.string()), values)


def _frame(raw: bytes, *, checksum: bool = True, content_size: bool = True) -> bytes:
    made = zstandard.ZstdCompressor(level=3, write_checksum=checksum, write_content_size=content_size)
    frame: bytes = made.compress(raw)
    return frame


def lying_frame(stated: int, raw: bytes) -> bytes:
    """Return a frame that states another content size than it has: magic, descriptor, 8 bytes of size, blocks."""
    honest = compress(raw)
    size_bytes = {0: 1, 1: 2, 2: 4, 3: 8}[honest[4] >> 6]
    descriptor = 0b11_1_0_0_1_00  # 8 bytes of content size, single segment, checksum
    return honest[:4] + bytes([descriptor]) + struct.pack("<Q", stated) + honest[5 + size_bytes :]


def cut(digest_of: bytes, *pieces: tuple[int, bytes]) -> Callable[[list[Frame]], None]:
    """Replace the last frame by one frame for each piece (raw offset, bytes) of a blob."""

    def edit(frames: list[Frame]) -> None:
        frames.pop()
        frames += [Frame(extents=[(hashlib.sha256(digest_of).digest(), offset, data)]) for offset, data in pieces]

    return edit


def wrong_digest(frames: list[Frame]) -> None:
    frames[-1].extents = [(hashlib.sha256(WORLD).digest(), 0, WORLD.upper())]


def four_more(frames: list[Frame]) -> None:
    frames.append(Frame(extents=[(hashlib.sha256(WORLD).digest(), len(WORLD), b"more")]))


def _append_junk(files: Files) -> None:
    files[PACK] += b"junk"


def _label_crc(files: Files) -> None:
    """Damage the CRC of the first label: 8 + 20 bytes of head, two extents."""
    files[PACK] = flipped(files[PACK], 28 + 2 * 44)


FAULTS: Final[dict[str, Fault]] = {
    "E001_never_committed": flat(
        "Parts, packs and README.txt, but no manifest.",
        files=lambda files: [files.pop(name) for name in ("manifest.json", COPY, "checksums.sha256")],
    ),
    "E001_not_finished": flat(
        "A first export that was interrupted before its commit.",
        files=lambda files: [files.pop("manifest.json"), files.update({"staging/plan.json": b"{}"})],
    ),
    "E002_not_json": flat("The manifest is no JSON.", files=both(lambda data: data[:-1])),
    "E002_not_canonical": flat("The manifest has spaces.", files=both(lambda d: json.dumps(json.loads(d)).encode())),
    "E002_final_line_end": flat("A line end behind the manifest.", files=both(lambda data: data + b"\n")),
    "E002_key_twice": flat("A key of the manifest occurs twice.", files=both(lambda d: b'{"a":1,"a":1,' + d[1:])),
    "E002_nan": flat("NaN in the manifest.", files=both(lambda data: b'{"a":NaN,' + data[1:])),
    "E002_boolean_size": flat("true where an integer must be.", manifest=member("README.txt", size=True)),
    "E002_negative_rows": flat("A negative number of rows.", manifest=member(part("runs"), rows=-1)),
    "E002_unknown_kind": flat("A member of unknown kind.", manifest=member(PACK, kind="blob")),
    "E002_no_exports": flat("No export is listed.", manifest=document(exports=[])),
    "E002_export_numbers": flat("The only export is number 2.", manifest=lambda d: d["exports"][0].update(number=2)),
    "E002_member_twice": flat("One path is listed twice.", manifest=lambda d: d["members"].insert(0, d["members"][0])),
    "E002_member_of_later_export": flat("A member of export 7.", manifest=member("README.txt", export=7)),
    "E002_member_of_export_0": flat("A member of export 0.", manifest=member("README.txt", export=0)),
    "E002_number_beyond_2_63": flat("A size of 2^63.", manifest=member("README.txt", size=2**63)),
    "E002_half_a_character": flat("A key with a lone surrogate.", manifest=document(novel="\ud800")),
    "E002_nested_too_deep": flat("A key whose value nests 40 deep.", manifest=document(novel=nested(40))),
    "E002_selection_is_text": flat(
        "A selection whose list of runs is a text.", manifest=lambda d: d["exports"][0]["selection"].update(runs="a")
    ),
    "E003_major_2": flat("Major version 2.", manifest=lambda d: d["format"].update(major=2)),
    "E004_unknown_feature": flat("An unknown required feature.", manifest=document(required_features=["no-such"])),
    "E005_copy_changed": flat(
        "The manifest copy differs; manifest.json is good.", files=change(COPY, lambda d: d + b" ")
    ),
    "E005_manifest_changed": flat(
        "manifest.json differs from the copy, which checksums.sha256 confirms.",
        files=change("manifest.json", lambda d: canonical_json({**json.loads(d), "added": 1})),
    ),
    "E006_neither": flat(
        "manifest.json and its copy differ, and checksums.sha256 names neither.",
        files=lambda files: [
            change("manifest.json", lambda d: canonical_json({**json.loads(d), "added": 1}))(files),
            change("checksums.sha256", lambda d: d.replace(sha(files[COPY]).encode(), b"0" * 64))(files),
        ],
    ),
    "E010_manifest_missing": flat("manifest.json is not there, its copy is.", files=drop("manifest.json")),
    "E010_member_missing": flat("README.txt is not there.", files=drop("README.txt")),
    "E010_pack_missing": flat("The pack is not there.", "E042", files=drop(PACK)),
    "E010_checksums_missing": flat("checksums.sha256 is not there.", files=drop("checksums.sha256")),
    "E010_copy_missing": flat("The newest manifest copy is not there.", files=drop(COPY)),
    "E011_cut_off": flat("A member lacks its last byte.", files=change("README.txt", lambda data: data[:-1])),
    "E011_longer": flat("A member has one byte more.", files=change(part("params"), lambda data: data + b"\0")),
    "E011_lying_size": flat("The manifest states a size of 2^62.", manifest=member("README.txt", size=2**62)),
    "E012_member_changed": flat("One bit of a member.", files=change("README.txt", lambda data: flipped(data, 3))),
    "E014_line_missing": flat(
        "A line is missing.", files=change("checksums.sha256", lambda d: d[d.index(b"\n") + 1 :])
    ),
    "E014_other_sum": flat("One sum differs.", files=change("checksums.sha256", lambda data: b"00" + data[2:])),
    "E015_dot_dot": flat("A path leads out.", manifest=member("README.txt", path="../../etc/passwd")),
    "E015_absolute": flat("An absolute path.", manifest=member("README.txt", path="/etc/passwd")),
    "E015_inner_dot_dot": flat("A path with an inner `..`.", manifest=member(PACK, path="packs/../../x.zst")),
    "E015_backslash": flat("A path of Windows.", manifest=member(PACK, path="packs\\0001.zst")),
    "E015_capitals": flat("A path with capital letters.", manifest=member(PACK, path="packs/A.zst")),
    "E015_too_long": flat("A path of 201 characters.", manifest=member(PACK, path="p" * 201)),
    "E030_no_parquet": deep("A part is text.", members=add(part("params"), b"no Parquet file at all\n")),
    "E030_footer_cut": deep("A part lacks its end.", members=change(part("params"), lambda data: data[:-20])),
    "E030_other_footer": deep(
        "Another footer hash is stated.", manifest=member(part("params"), footer_sha256="0" * 64)
    ),
    "E031_column_missing": deep("A column is missing.", tables=table("params", lambda t: t.drop_columns(["value"]))),
    "E031_column_twice": deep(
        "Two columns of one name.", tables=table("params", lambda t: t.append_column(t.schema.field(2), t["value"]))
    ),
    "E031_other_type": deep(
        "A column of another type.",
        tables=table("params", lambda t: t.set_column(2, pa.field("value", pa.int64(), False), pa.array(range(4)))),
    ),
    "E032_rows": deep("The manifest states more rows.", manifest=member(part("params"), rows=5)),
    "E033_not_sorted": deep("Rows in the wrong order.", tables=table("params", lambda t: t.take([2, 3, 0, 1]))),
    "E033_row_groups": deep(
        "Row groups in the wrong order; the rows of each are sorted.",
        tables=table("params", lambda t: t.take([2, 3, 0, 1])),
        members=change(part("params"), in_pairs),
    ),
    "E034_page_changed": deep(
        "A value changed inside of a page, its checksum not.",
        members=lambda files: files.update({part("params"): damaged_page()}),
    ),
    "E034_bomb": deep(
        "A row group of few bytes, 10,000 rows with one text of 20,000 characters: 200 MB when it is decoded.",
        manifest=member(part("params"), rows=10_000),
        members=add(part("params"), one_text(10_000, 20_000)),
    ),
    "E034_no_text": deep("A value that is no UTF-8.", tables=table("params", lambda t: text_of_bytes(t, b"\xff"))),
    "E034_half_a_character": deep(
        "A value with a lone surrogate in its UTF-8.",
        tables=table("params", lambda t: text_of_bytes(t, b"\xed\xa0\x80")),
    ),
    "E034_statistics": deep(
        "A row group states a smallest and a largest value of a column that its values belie.",
        members=change(part("params"), lambda data: data[:-400] + data[-400:].replace(b"depth", b"width")),
    ),
    "E034_too_many_rows": deep(
        "A row group of 131,073 rows, with page checksums.",
        tables=table("metrics", lambda t: t.take(pa.array([0] * 131_073, pa.int64()))),
    ),
    "E036_null": deep("A null where none may be.", tables=table("params", nulled)),
    "E037_outside_of_range": deep("Keys outside of key_max.", manifest=member(part("params"), key_max=RUN_A)),
    "E040_frame_changed": deep(
        "A byte of a frame.", "E042", frames=last_frame(encoded=flipped(compress(WORLD), len(compress(WORLD)) - 6))
    ),
    "E040_two_frames": deep(
        "Two frames behind one label.", "E042", frames=last_frame(encoded=compress(WORLD) + compress(b""))
    ),
    "E040_bomb": deep(
        "A frame that states 17 bytes and decodes to a million.",
        "E042",
        frames=last_frame(encoded=lying_frame(len(WORLD), bytes(1_000_000))),
    ),
    "E041_bytes_behind": deep("Bytes behind the last frame.", members=_append_junk),
    "E041_ends_in_a_label": deep(
        "A pack ends within a label, before a frame that the blob index names.",
        *("E042", "E044"),
        members=change(PACK, lambda data: data[:-40]),
    ),
    "E041_label_crc": deep("The CRC of a label.", members=_label_crc),
    "E041_index_disagrees": deep(
        "The blob index gives a blob to the right bytes, the label to another blob.",
        frames=last_frame(extents=[(bytes(32), 0, WORLD)]),
        rows=lambda rows: [
            next(r for r in rows["blobs"] if r["digest"] == "00" * 32).update(digest=sha(WORLD)),
            rows["blobs"].sort(key=lambda r: r["digest"]),
        ],
    ),
    "E041_frame_size": deep(
        "The blob index states one byte less of a frame.", rows=blob(WORLD, frame_size=len(compress(WORLD)) - 1)
    ),
    "E042_more_than_the_blob": deep("Behind all of a blob the index names four bytes more of it.", frames=four_more),
    "E042_other_bytes": deep("A blob has other bytes than its digest.", frames=wrong_digest),
    "E043_gap": deep("Extents leave a gap.", "E042", frames=cut(WORLD, (0, WORLD[:5]), (6, WORLD[6:]))),
    "E043_overlap": deep("Extents overlap.", "E042", frames=cut(WORLD, (0, WORLD[:5]), (4, WORLD[4:]))),
    "E044_outside_of_pack": deep("A frame behind the pack's end.", "E042", rows=blob(WORLD, frame_offset=100_000)),
    "E044_pack_not_listed": deep("A pack that is not listed.", "E042", rows=blob(WORLD, pack="packs/0001-00009.zst")),
    "E043_one_place": deep(
        "Four extents of a blob that lie in one place.",
        *("E041", "E042"),
        rows=lambda rows: [
            rows["blobs"].extend(
                {**next(r for r in rows["blobs"] if r["digest"] == sha(WORLD)), "raw_offset": at * len(WORLD)}
                for at in (1, 2, 3)
            ),
            rows["blobs"].sort(key=lambda r: (r["digest"], r["raw_offset"])),
        ],
    ),
    "E045_no_checksum": deep(
        "A frame without checksum.", "E042", frames=last_frame(encoded=_frame(WORLD, checksum=False))
    ),
    "E045_no_content_size": deep(
        "A frame without content size.", "E042", frames=last_frame(encoded=_frame(WORLD, content_size=False))
    ),
    "E045_bomb": deep(
        "A frame that states a gigabyte.", "E042", frames=last_frame(encoded=lying_frame(2**30, bytes(MAX_FRAME_RAW)))
    ),
    "E050_blob_missing": deep("An artifact of an unknown blob.", "W003", rows=row("artifacts", 2, digest="0" * 64)),
    "E051_no_such_run": deep("A param of an unknown run.", rows=row("params", 3, run_id="c" * 32)),
    "E051_no_such_experiment": deep("A run of an unknown experiment.", rows=row("runs", 1, experiment_id="9")),
    "E052_size": deep("An artifact states another size than its blob.", rows=row("artifacts", 2, size=1)),
}


def damaged_page() -> bytes:
    """Return the part of params with one bit changed: it decodes to other values where no checksum is looked at."""
    right = make_table("params", base_rows()["params"])
    data = encode_part(right)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for offset in range(4, footer):
        changed = flipped(data, offset)
        try:
            silent = pq.ParquetFile(io.BytesIO(changed)).read()
            if silent.num_rows != 4 or silent["run_id"] != right["run_id"] or silent["value"] == right["value"]:
                continue
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            continue
        try:
            pq.ParquetFile(io.BytesIO(changed), page_checksum_verification=True).read()
        except OSError:
            return changed
    message = "no bit of this part is silent"
    raise AssertionError(message)
