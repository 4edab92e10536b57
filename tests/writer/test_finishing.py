"""What was just written is read again with its checksums, and blobs that workers brought are indexed once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.blob_rows import BLOBS, extent_table, staged_pieces
from mlflow_archive.writer.finishing import Finishing
from mlflow_archive.writer.parts import part_writer
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.staged import StagedWriter
from tests.support.chunks import table

ZSTD = bytes.fromhex("28b52ffd")
"""What the bytes of a page begin with."""
DIGESTS = tuple(f"{number:02x}" * 32 for number in range(3))


def finishing(root: Path, scratch: Scratch, member: Member) -> Finishing:
    nothing: Any = None
    return Finishing(
        files=Files(),
        staging=nothing,
        scratch=scratch,
        packs=nothing,
        target=cast("Any", SimpleNamespace(root=root)),
        level=3,
        jobs=1,
        _members=[member],
    )


def test_damage_of_what_was_just_written_is_not_read_past(tmp_path: Path) -> None:
    table_of = TABLES["artifacts"]
    row = {"owner_kind": "run", "owner_id": "a" * 32, "path": "x", "size": 1}
    rows = table("artifacts", [{**row, "digest": digest} for digest in DIGESTS[:2]])
    with part_writer(Files(), tmp_path / "part", table_of, level=3, durable=False) as part:
        part.write(rows)
        written = part.finish()
    member = written.member("part", table_of, 1)
    with closing(Scratch()) as scratch:
        ending = finishing(tmp_path, scratch, member)
        ending._remember_used()
        assert ending._rows(table_of).equals(rows)
        assert [scratch.is_used(digest) for digest in DIGESTS] == [True, True, False]
        sound = (tmp_path / "part").read_bytes()
        pages = [at for at in range(len(sound)) if sound.startswith(ZSTD, at)]
        ending = finishing(tmp_path, scratch, Member(**{**_facts(member), "path": "broken"}))
        noticed = []
        for at in pages:
            broken = bytearray(sound)
            broken[at + 4] ^= 1
            (tmp_path / "broken").write_bytes(broken)
            with pytest.raises(OSError, match="CRC"):
                ending._rows(table_of)
            try:
                ending._remember_used()
            except OSError as error:
                noticed.append("CRC" in str(error))
    assert len(pages) >= len(table_of.columns)
    assert noticed
    assert all(noticed)


def _facts(member: Member) -> dict[str, Any]:
    return {name: getattr(member, name) for name in member.__slots__}


def test_of_rows_that_name_their_owner_those_stay_whose_fingerprint_an_interrupted_export_has(tmp_path: Path) -> None:
    given = [("run", "a"), ("run", "b"), ("trace", "a"), ("logged_model", "c"), ("registered_model", "a"), ("run", "d")]
    rows = table("gaps", [{"owner_kind": kind, "owner_id": one, "path": "p", "code": "c"} for kind, one in given])
    member = Member(path="p", kind="table", export=1, size=0, sha256="0" * 64)
    with closing(Scratch()) as scratch:
        scratch.add_known([("run", "a", Fingerprint("1")), ("run", "d", Fingerprint("1"))], segment=2)
        scratch.add_known([("logged_model", "c", Fingerprint("1")), ("trace", "b", Fingerprint("1"))], segment=2)
        scratch.add_known([("run", "b", Fingerprint("1"))], segment=1)
        keep = finishing(tmp_path, scratch, member)._keep(TABLES["gaps"], 2)
        assert keep is not None
        kept = keep(rows)
        assert [(row["owner_kind"], row["owner_id"]) for row in kept.to_pylist()] == [given[0], given[3], given[5]]
        assert keep(rows.slice(0, 0)).equals(TABLES["gaps"].schema.empty_table())


def test_of_a_blob_in_two_parcels_the_first_counts_and_of_one_that_nothing_names_none(tmp_path: Path) -> None:
    """Of packs of the writer itself all counts: a blob may begin in one, and a worker have it whole."""
    given = [("packs/own", DIGESTS[:1]), ("packs/a", DIGESTS[:2]), ("packs/b", DIGESTS[1:])]
    files = []
    for number, (pack, digests) in enumerate(given):
        rows = [(digest, 0, 9, pack, 80, 20, at * 9) for at, digest in enumerate(digests)]
        with closing(StagedWriter(Files().create(tmp_path / f"{number}.rows"))) as writer:
            writer.add(extent_table(rows), BLOBS)
            files.append(writer.finish(durable=False))
    with closing(Scratch()) as scratch:
        scratch.add_used([DIGESTS[0], DIGESTS[1]])
        found = [
            (row["digest"], row["pack"])
            for piece in staged_pieces(files, {"packs/own"}, scratch)
            for row in piece.load().to_pylist()
        ]
    assert found == [(DIGESTS[0], "packs/own"), (DIGESTS[0], "packs/a"), (DIGESTS[1], "packs/a")]
