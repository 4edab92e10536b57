"""Names, record and list of a set, and what of a record is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.packing.volumes import (
    Names,
    SetFile,
    SetRecord,
    base_name,
    decode_record,
    digits_for,
    encode_record,
    is_signature_name,
    set_of,
    set_of_volume,
)

BASE = "a-0123abcd"
A, B = "a" * 64, "b" * 64
RECORD = SetRecord(
    base=BASE,
    archive_id=A,
    archive_size=12,
    encrypted=True,
    volumes=(
        SetFile(name=f"{BASE}.mlfa.age.001", size=10, sha256=A),
        SetFile(name=f"{BASE}.mlfa.age.002", size=3, sha256=B),
    ),
    beside=(
        SetFile(name="README.txt", size=1, sha256=B),
        SetFile(name=f"{BASE}.identity.age", size=2, sha256=A),
        SetFile(name=f"{BASE}.mlfa.sig/0001-ada.sig", size=3, sha256=A),
    ),
)


def test_a_record_is_canonical_json_and_comes_back() -> None:
    data = encode_record(RECORD)
    facts = json.loads(data)
    assert data == canonical_json(facts) + b"\n"
    checksum = facts.pop("checksum")
    assert checksum == hashlib.sha256(canonical_json(facts)).hexdigest()
    assert facts == {
        "format": "mlflow-archive-volumes",
        "version": 1,
        "set": BASE,
        "archive_id": A,
        "archive_size": 12,
        "encryption": "age",
        "volumes": [
            {"name": f"{BASE}.mlfa.age.001", "size": 10, "sha256": A},
            {"name": f"{BASE}.mlfa.age.002", "size": 3, "sha256": B},
        ],
        "beside": [
            {"name": "README.txt", "size": 1, "sha256": B},
            {"name": f"{BASE}.identity.age", "size": 2, "sha256": A},
            {"name": f"{BASE}.mlfa.sig/0001-ada.sig", "size": 3, "sha256": A},
        ],
    }
    assert decode_record(data, BASE) == RECORD
    assert (RECORD.size, RECORD.names) == (13, Names(base=BASE, encrypted=True))


def test_no_flip_of_a_record_passes() -> None:
    data = encode_record(RECORD)
    for at in range(len(data) - 1):  # the line end is not part of the JSON
        for bit in range(8):
            flipped = bytes([*data[:at], data[at] ^ 1 << bit, *data[at + 1 :]])
            with pytest.raises(ValueError, match=r"."):
                decode_record(flipped, BASE)


def sealed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a record with something else in it, and the right checksum."""
    facts = json.loads(encode_record(RECORD))
    del facts["checksum"]
    change(facts)
    return canonical_json({**facts, "checksum": hashlib.sha256(canonical_json(facts)).hexdigest()})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda facts: facts.update(format="other"), "it is no mlflow-archive-volumes"),
        (lambda facts: facts.update(version=2), "it has version 2, and this program knows 1"),
        (lambda facts: facts.pop("archive_id"), "a value is missing or has the wrong type: 'archive_id'"),
        (lambda facts: facts.update(archive_size=-1), "a value is missing or has the wrong type: archive_size"),
        (lambda facts: facts.update(archive_size=True), "a value is missing or has the wrong type: archive_size"),
        (lambda facts: facts["volumes"][0].update(sha256="AA"), "a value is missing or has the wrong type: sha256"),
        (lambda facts: facts.update(volumes=None), "a value is missing or has the wrong type"),
        (lambda facts: facts.update(set="b-0123abcd"), "its volumes are not named as those of this set"),
        (lambda facts: facts.update(volumes=[]), "its volumes are not named as those of this set"),
        (lambda facts: facts["volumes"].reverse(), "its volumes are not named as those of this set"),
        (lambda facts: facts["volumes"][1].update(name="../x"), "its volumes are not named as those of this set"),
        (lambda facts: facts["beside"][0].update(name="passwd"), "it names a file that does not belong to a set"),
        (lambda facts: facts["beside"][2].update(name=f"{BASE}.mlfa.sig/../x"), "it names a file that is no signature"),
        (lambda facts: facts["beside"].append(facts["beside"][0]), "it names a file that is no signature"),
    ],
)
def test_a_record_with_a_right_checksum_is_refused(change: Callable[[dict[str, Any]], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_record(sealed(change), BASE)


def test_other_bytes_are_no_record() -> None:
    for data in (b"", b"[]", b"{}", b"[" * 100_000, encode_record(RECORD)[:-9]):
        with pytest.raises(ValueError, match=r"."):
            decode_record(data, BASE)
    plain = replace(RECORD, encrypted=False, volumes=(SetFile(name=f"{BASE}.mlfa.001", size=1, sha256=A),), beside=())
    assert decode_record(encode_record(plain), BASE) == plain


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("a.mlfa", "a-0123abcd"),
        ("a", "a-0123abcd"),
        ("über Größe/№.mlfa", "ber-Gr-e-0123abcd"),
        ("..mlfa", "archive-0123abcd"),
        ("-rf.mlfa", "rf-0123abcd"),
        ("x" * 300, f"{'x' * 80}-0123abcd"),
    ],
)
def test_names_of_sets(name: str, base: str) -> None:
    assert base_name(name, "0123abcd") == base
    names = Names(base=base)
    assert (set_of(names.record), set_of(names.checksums), set_of(names.parity)) == (base, base, base)
    assert set_of(f"{base}.vol00+1.par2") == base
    assert (set_of(names.volume(1, 3)), set_of_volume(names.volume(1, 3))) == (None, base)
    assert set_of_volume(Names(base=base, encrypted=True).volume(1234, 4)) == base


def test_volumes_may_be_fewer_than_their_numbers_have_room_for() -> None:
    few = replace(RECORD, volumes=(SetFile(name=f"{BASE}.mlfa.age.0001", size=1, sha256=A),))
    assert decode_record(encode_record(few), BASE) == few
    for name in ("01", "00001"):
        other = replace(RECORD, volumes=(SetFile(name=f"{BASE}.mlfa.age.{name}", size=1, sha256=A),))
        with pytest.raises(ValueError, match="its volumes are not named as those of this set"):
            decode_record(encode_record(other), BASE)


def test_other_names_are_of_no_set() -> None:
    assert {set_of(name) for name in ("README.txt", "a.json", "a-0123abcd.txt", ".a-0123abcd.json")} == {None}
    assert {
        set_of_volume(name) for name in ("a.mlfa.001", f"{BASE}.mlfa", f"{BASE}.mlfa.01", f"{BASE}.mlfa.001.1")
    } == {None}
    assert [digits_for(count) for count in (1, 999, 1000, 9999)] == [3, 3, 4, 4]


def test_names_of_signatures() -> None:
    assert is_signature_name("0001-ada@example.org.sig")
    refused = ["", ".hidden", "a/b", "a\\b", "a\nb", "a\x7f", "x" * 201, "0001-Łukasz.sig", "a b", "-rf"]
    assert [name for name in refused if is_signature_name(name)] == []
