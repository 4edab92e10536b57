"""A flipped bit in a signature or token is refused; ``make test-road`` flips each, here are some of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import KeyRefusedError
from mlflow_archive.signing.timestamps import Authorities, request_stamp
from mlflow_archive.verification.report import Level
from tests.cli.conftest import write_archive
from tests.support.authority import Authority
from tests.support.flips import flips
from tests.support.signers import Signer

SIGNATURE_STEP, TOKEN_STEP = 41, 37
"""Odd, so that each bit of a byte has its turn."""


def test_no_flip_in_a_signature_is_accepted(tmp_path: Path, ada: Signer, signers: Path) -> None:
    archive = write_archive(tmp_path / "a.mlfa")
    [signed] = ma.sign(archive, ada.key)
    data = signed.path.read_bytes()
    for bit, flipped in flips(data, step=SIGNATURE_STEP):
        signed.path.write_bytes(flipped)
        report = ma.verify(archive, Level.QUICK, signers=signers).signatures
        assert report is not None
        assert report.problems[0].code in ("E102", "E103", "E104"), bit
        assert not report.newest_signed, bit
    signed.path.write_bytes(data)
    assert ma.verify(archive, signers=signers, require_signature=True).ok


def test_no_flip_in_a_token_is_accepted(authority: Authority) -> None:
    authorities, token = Authorities(authority.ca), request_stamp(b"data", authority.reply)
    for bit, flipped in flips(token, step=TOKEN_STEP):
        with pytest.raises(KeyRefusedError):
            pytest.fail(f"the flip of bit {bit} gives {authorities.check(b'data', flipped)}")
    assert authorities.check(b"data", token)
