"""What is known of signatures, as programs are told it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.format.problems import Problem
from mlflow_archive.signing.making import Signed
from mlflow_archive.signing.report import SignatureRecord, SignatureReport, TokenRecord

OLD, NEW = TokenRecord(file="a.tsr", time_ms=1_000, authority="CN=one"), TokenRecord(file="b.tsr", time_ms=61_001)
DAY = "1970-01-01T"
UNCHECKED = TokenRecord(file="c.tsr")
RECORD = SignatureRecord(
    file="0002-ada.sig", export=2, signer="ada", key_type="ssh-ed25519", fingerprint="SHA256:x", accepted=True
)


@pytest.mark.parametrize(
    ("tokens", "time"),
    [
        ((), None),
        ((UNCHECKED,), None),
        ((NEW, OLD, UNCHECKED), "1970-01-01T00:00:01.000Z"),
        ((NEW,), "1970-01-01T00:01:01.001Z"),
    ],
)
def test_a_signature_was_there_by_the_oldest_of_its_tokens(tokens: tuple[TokenRecord, ...], time: str | None) -> None:
    record = replace(RECORD, tokens=tokens)
    assert record.to_json() == {
        "file": "0002-ada.sig",
        "export": 2,
        "signer": "ada",
        "key_type": "ssh-ed25519",
        "fingerprint": "SHA256:x",
        "accepted": True,
        "time": time,
        "tokens": [token.to_json() for token in tokens],
    }


def test_tokens() -> None:
    assert OLD.to_json() == {"file": "a.tsr", "time": "1970-01-01T00:00:01.000Z", "authority": "CN=one"}
    assert UNCHECKED.to_json() == {"file": "c.tsr", "time": None, "authority": None}


@pytest.mark.parametrize(
    ("records", "codes", "ok", "newest_signed"),
    [
        ([], [], True, False),
        ([RECORD], ["W001"], True, True),
        ([RECORD, replace(RECORD, accepted=False)], ["W001", "E090"], False, True),
        ([replace(RECORD, export=1), replace(RECORD, accepted=None)], [], True, False),
    ],
)
def test_a_report(records: list[SignatureRecord], codes: list[str], ok: bool, newest_signed: bool) -> None:
    problems = [Problem(code=code, member="m", message="says why") for code in codes]
    report = SignatureReport(newest_export=2, records=records, problems=problems)
    assert report.to_json() == {
        "ok": ok,
        "newest_export": 2,
        "newest_signed": newest_signed,
        "records": [record.to_json() for record in records],
        "problems": [found.to_json() for found in problems],
    }


def test_what_was_signed() -> None:
    signed = Signed(
        export=2, signer="ada", fingerprint="SHA256:x", path=Path("a/s"), tokens=(Path("a/t"),), written=(Path("a/w"),)
    )
    assert signed.to_json() == {
        "export": 2,
        "signer": "ada",
        "fingerprint": "SHA256:x",
        "file": "a/s",
        "tokens": ["a/t"],
        "written": ["a/w"],
    }
