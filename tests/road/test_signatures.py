"""Every single bit of signatures and tokens flipped: none is accepted, so none can change what is said."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import KeyRefusedError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.checks import check_signatures
from mlflow_archive.signing.report import SignatureOptions
from mlflow_archive.signing.timestamps import Authorities, request_stamp
from tests.cli.conftest import write_archive
from tests.support.authority import aged, make_authority
from tests.support.flips import flips
from tests.support.signers import allowed, new_signer

pytestmark = pytest.mark.skipif(
    "TEST_ROAD" not in os.environ, reason="make test-road; tests/signing/test_flips.py flips some"
)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_no_flip_in_a_signature_is_accepted(tmp_path: Path, kind: str) -> None:
    archive, ada = write_archive(tmp_path / "a.mlfa"), new_signer(tmp_path, "ada", kind=kind)
    options = SignatureOptions(signers=allowed(tmp_path / "list", ada))
    [signed] = ma.sign(archive, ada.key)
    data = signed.path.read_bytes()
    with open_archive(archive) as opened:
        assert check_signatures(opened, options).newest_signed
        for bit, flipped in flips(data):
            signed.path.write_bytes(flipped)
            report = check_signatures(opened, options)
            assert (report.ok, report.newest_signed) == (False, False), bit


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("with_chain", [False, True], ids=["no chain", "chain"])
def test_no_flip_in_a_token_is_accepted(tmp_path: Path, kind: str, with_chain: bool) -> None:
    authority = make_authority(tmp_path / "tsa", kind=kind, with_chain=with_chain)
    authorities, token = Authorities(authority.ca), request_stamp(b"data", authority.reply)
    assert authorities.check(b"data", token)
    assert accepted_flips(authorities, token) == []


def test_no_flip_in_a_token_of_an_expired_authority_is_accepted(tmp_path: Path) -> None:
    begin, time = datetime(2010, 1, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)
    authority = make_authority(tmp_path / "tsa", kind="rsa", with_chain=True, begin=begin)
    authorities = Authorities(authority.ca)
    token = request_stamp(b"data", lambda request: aged(authority, authority.reply(request), time))
    assert authorities.check(b"data", token).time_ms == time.timestamp() * 1000
    assert accepted_flips(authorities, token) == []


def accepted_flips(authorities: Authorities, token: bytes) -> list[int]:
    """Return the bits of a token whose flip nobody notices."""
    accepted = []
    for bit, flipped in flips(token):
        try:
            authorities.check(b"data", flipped)
        except KeyRefusedError:
            continue
        accepted.append(bit)
    return accepted
