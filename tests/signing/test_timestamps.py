"""Time-stamps of signatures: by an authority that ``openssl ts`` plays, also long after its key has expired."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import ServerError
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.signing.report import SignatureRecord
from mlflow_archive.signing.timestamps import Authorities, UntrustedTokenError, request_stamp
from mlflow_archive.signing.tokens import normal_form
from tests.cli.conftest import Command, write_archive
from tests.support.authority import Authority, aged, make_authority, query, served
from tests.support.signers import Signer, allowed

PAST = datetime(2015, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "a.mlfa")


def record_of(archive: Path, signers: Path, ca: Path) -> SignatureRecord:
    """Return the one signature of an archive, with which nothing is wrong."""
    report = ma.verify(archive, signers=signers, require_signature=True, tsa_ca=ca).signatures
    assert report is not None
    assert report.problems == []
    [record] = report.records
    return record


def codes_of(archive: Path, signers: Path, ca: Path | None) -> list[str]:
    report = ma.verify(archive, signers=signers, tsa_ca=ca).signatures
    assert report is not None
    return [problem.code for problem in report.problems]


def by_hand(data: bytes, token: Path, authority: Authority, *, at: datetime | None = None) -> bool:
    """Check a token with openssl alone, with certificates as they are now or were at a time."""
    time = [] if at is None else ["-attime", str(int(at.timestamp()))]
    arguments = [*time, "-data", "/dev/stdin", "-in", str(token), "-CAfile", "ca.pem", "-untrusted", "chain.pem"]
    command = ["openssl", "ts", "-verify", *arguments]
    return subprocess.run(command, cwd=authority.folder, input=data, capture_output=True, check=False).returncode == 0


def test_a_signature_is_time_stamped(
    cli: Command, archive: Path, ada: Signer, signers: Path, authority: Authority
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    ran = cli("sign", archive, "--key", ada.key, "--timestamp", authority.uri)
    assert (ran.code, ran.err) == (0, "")
    folder = archive.with_name("a.mlfa.sig")
    token = folder / "0001-ada@bank.tsr"
    assert ran.out.splitlines()[1] == f"time-stamped: {token}"
    assert by_hand((folder / "0001-ada@bank.sig").read_bytes(), token, authority)
    record = record_of(archive, signers, authority.ca)
    assert record.time_ms is not None
    assert began.timestamp() * 1000 <= record.time_ms <= datetime.now(UTC).timestamp() * 1000
    assert [(one.file, one.authority) for one in record.tokens] == [("a.mlfa.sig/0001-ada@bank.tsr", "CN=authority")]
    ran = cli("verify", archive, "--signers", signers, "--tsa-ca", authority.ca, "-q")
    when = Moment(record.time_ms).plain()
    assert ran.code == 0
    assert f"signed by ada@bank before {when} UTC, as CN=authority says, which covers all" in ran.out
    page = archive.with_name("r.html")
    assert cli("report", archive, "-o", page, "-q", "--signers", signers, "--tsa-ca", authority.ca).code == 0
    assert f"<td>{when}</td><td>CN=authority</td>" in page.read_text()
    assert codes_of(archive, signers, None) == ["W103"]
    assert cli("sign", archive, "--key", ada.key, "--timestamp", authority.uri).out.splitlines()[1] == (
        f"had its time-stamp: {token}"
    )


def test_a_token_is_renewed_by_one_over_the_signature_and_all_tokens(
    cli: Command, archive: Path, ada: Signer, signers: Path, authority: Authority
) -> None:
    ma.sign(archive, ada.key, timestamp=authority.uri)
    for number in (2, 3):
        ran = cli("sign", archive, "--renew", "--timestamp", authority.uri)
        assert ran.code == 0
        assert ran.out.splitlines()[-1].endswith(f"time-stamped: {archive}.sig/0001-ada@bank-{number}.tsr")
    folder = archive.with_name("a.mlfa.sig")
    files = [folder / f"0001-ada@bank{end}" for end in (".sig", ".tsr", "-2.tsr", "-3.tsr")]
    for number, token in enumerate(files[1:], 1):
        assert by_hand(b"".join(path.read_bytes() for path in files[:number]), token, authority)
    assert len(record_of(archive, signers, authority.ca).tokens) == 3
    files[2].unlink()
    assert codes_of(archive, signers, authority.ca) == ["E107"]
    ran = cli("sign", archive, "--renew", "--timestamp", authority.uri)
    assert (ran.code, ran.out) == (14, "")
    assert "of its tokens one is missing" in ran.err


def test_what_is_damaged_is_not_renewed(cli: Command, archive: Path, ada: Signer, authority: Authority) -> None:
    [signed] = ma.sign(archive, ada.key, timestamp=authority.uri)
    signature, token = signed.path.read_bytes(), signed.tokens[0].read_bytes()
    signed.tokens[0].write_bytes(token + b"x")
    ran = cli("sign", archive, "--renew", "--timestamp", authority.uri)
    assert (ran.code, ran.out) == (14, "")
    assert "0001-ada@bank.tsr: it is damaged" in ran.err
    signed.tokens[0].write_bytes(token)
    signed.path.write_bytes(signature + b"x")
    ran = cli("sign", archive, "--renew", "--timestamp", authority.uri)
    assert (ran.code, ran.out) == (14, "")
    assert "0001-ada@bank.sig is damaged" in ran.err


@pytest.fixture(scope="module")
def long_ago(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority whose certificates were valid from 2010 to 2019."""
    return make_authority(tmp_path_factory.mktemp("past") / "tsa", kind="rsa", begin=datetime(2010, 1, 1, tzinfo=UTC))


def stamp(archive: Path, authority: Authority, time: datetime, *, number: int = 1) -> None:
    """Put a token of a past time beside a signature."""
    [signature] = archive.with_name("a.mlfa.sig").glob("*.sig")
    names = [signature.stem + (".tsr" if one == 1 else f"-{one}.tsr") for one in range(1, number + 1)]
    *before, path = (signature.with_name(name) for name in names)
    data = b"".join(one.read_bytes() for one in [signature, *before])
    path.write_bytes(request_stamp(data, lambda request: aged(authority, authority.reply(request), time)))


def test_a_token_holds_long_after_the_key_of_its_authority_expired(
    archive: Path, ada: Signer, signers: Path, long_ago: Authority
) -> None:
    ma.sign(archive, ada.key)
    stamp(archive, long_ago, PAST)
    assert record_of(archive, signers, long_ago.ca).time_ms == PAST.timestamp() * 1000
    [signature], [token] = (list(archive.with_name("a.mlfa.sig").glob(f"*.{end}")) for end in ("sig", "tsr"))
    assert [by_hand(signature.read_bytes(), token, long_ago, at=at) for at in (None, PAST)] == [False, True]
    stamp(archive, long_ago, datetime(2026, 1, 1, tzinfo=UTC))
    assert codes_of(archive, signers, long_ago.ca) == ["E108"]


def test_the_time_of_a_token_decides_whether_a_key_was_valid(
    archive: Path, ada: Signer, tmp_path: Path, long_ago: Authority
) -> None:
    ma.sign(archive, ada.key)
    expired = allowed(tmp_path / "list", ada, options='valid-after="20150101",valid-before="20160101"')
    assert codes_of(archive, expired, None) == ["E105", "W101"]
    stamp(archive, long_ago, PAST)
    assert record_of(archive, expired, long_ago.ca).accepted
    assert codes_of(archive, expired, None) == ["W103", "E105", "W101"]
    stamp(archive, long_ago, datetime(2017, 1, 1, tzinfo=UTC))
    assert codes_of(archive, expired, long_ago.ca) == ["E105", "W101"]


def test_a_renewal_cannot_be_older(archive: Path, ada: Signer, signers: Path, long_ago: Authority) -> None:
    ma.sign(archive, ada.key)
    stamp(archive, long_ago, PAST)
    stamp(archive, long_ago, PAST + timedelta(days=900), number=2)
    assert record_of(archive, signers, long_ago.ca).time_ms == PAST.timestamp() * 1000
    stamp(archive, long_ago, PAST - timedelta(days=1), number=2)
    assert codes_of(archive, signers, long_ago.ca) == ["E109"]


def test_tokens_of_others_and_of_something_else(
    archive: Path, ada: Signer, signers: Path, authority: Authority, long_ago: Authority
) -> None:
    [signed] = ma.sign(archive, ada.key, timestamp=authority.uri)
    assert codes_of(archive, signers, long_ago.ca) == ["E108"]
    signed.tokens[0].write_bytes(request_stamp(b"something else", authority.reply))
    assert codes_of(archive, signers, authority.ca) == ["E107"]
    signed.tokens[0].write_bytes(b"text")
    assert codes_of(archive, signers, authority.ca) == ["E102"]


def test_a_list_of_certificates_needs_a_root(cli: Command, archive: Path, signers: Path, authority: Authority) -> None:
    lacking = archive.with_name("middle.pem")
    lacking.write_bytes(authority.middle.pem)
    ran = cli("verify", archive, "--signers", signers, "--tsa-ca", lacking)
    assert (ran.code, ran.out) == (2, "")
    assert "none of its certificates signs itself; give the root of the authority, too" in ran.err


def test_a_token_without_certificates_is_checked_with_those_that_are_given(
    tmp_path: Path, authority: Authority
) -> None:
    token = normal_form(authority.reply(query(b"data", certificates=False)))
    with pytest.raises(UntrustedTokenError, match="neither in it nor given; add it to --tsa-ca"):
        Authorities(authority.ca).check(b"data", token)
    (tmp_path / "all.pem").write_bytes(authority.root.pem + authority.middle.pem + authority.own.pem)
    assert Authorities(tmp_path / "all.pem").check(b"data", token).authority == "CN=authority"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            b"",
            "what the authority answered is no time-stamp that can be kept: it is no answer of a time-stamp authority",
        ),
        (b"<html>", "what the authority answered is no time-stamp that can be kept"),
        (bytes.fromhex("3010300e0201023009") + b"\x0c\x07not now", "the authority refuses, with status 02: not now"),
    ],
)
def test_what_is_no_time_stamp_is_not_kept(
    cli: Command, archive: Path, ada: Signer, authority: Authority, answer: bytes, text: str
) -> None:
    authority.answers.append(answer)
    ran = cli("sign", archive, "--key", ada.key, "--timestamp", authority.uri)
    assert (ran.code, ran.out) == (13, "")
    assert text in ran.err
    assert [path.name for path in archive.with_name("a.mlfa.sig").iterdir()] == ["0001-ada@bank.sig"]


def test_an_answer_to_another_request_is_not_kept(archive: Path, ada: Signer, authority: Authority) -> None:
    [signed] = ma.sign(archive, ada.key)
    authority.answers += [authority.reply(query(data)) for data in (b"data", signed.path.read_bytes())]
    for text in ("it is a time-stamp of something else", "the authority answered another request"):
        with pytest.raises(ServerError, match=text):
            ma.sign(archive, ada.key, timestamp=authority.uri)
    assert not signed.path.with_suffix(".tsr").exists()


def test_an_authority_that_does_not_answer(archive: Path, ada: Signer, tmp_path: Path) -> None:
    with served(make_authority(tmp_path / "tsa")) as gone:
        pass
    with pytest.raises(ServerError, match=f"cannot reach {gone.uri[:-1]}: connection refused"):
        ma.sign(archive, ada.key, timestamp=gone.uri)
