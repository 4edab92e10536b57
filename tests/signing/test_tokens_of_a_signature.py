"""Tokens of one signature, in their order: what each proves, of which bytes, and what is said of those that do not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.reader.archive import Archive
from mlflow_archive.signing.checks import _Check, check_signatures
from mlflow_archive.signing.folder import SignatureFiles, signature_files
from mlflow_archive.signing.openssh import _local_time, _sentence, look_at_key
from mlflow_archive.signing.report import SignatureOptions, SignatureRecord, SignatureReport, TokenRecord
from mlflow_archive.signing.timestamps import (
    Authorities,
    DamagedTokenError,
    OtherStampedError,
    Stamp,
    UntrustedTokenError,
)

OUTCOMES: dict[bytes, Stamp | Exception] = {
    b"early": Stamp(time_ms=1_000, authority="CN=one"),
    b"later": Stamp(time_ms=2_000, authority="CN=two"),
    b"at zero": Stamp(time_ms=0, authority="CN=zero"),
    b"damaged": DamagedTokenError("it is in another form"),
    b"other": OtherStampedError("it is a time-stamp of something else"),
    b"untrusted": UntrustedTokenError("its authority is not trusted"),
    b"odd": ValueError("no number"),
}


class Stamping:
    """Authorities that say of each token what stands for it; ``asked`` are the bytes that it must be of."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []

    def check(self, data: bytes, token: bytes) -> Stamp:
        self.asked.append((data, token))
        outcome = OUTCOMES[token]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def files_with(folder: Path, **tokens: bytes) -> SignatureFiles:
    """Return the files of a signature whose tokens lie in a folder, by ``n`` and their number."""
    files = signature_files(folder / "a.sig", 1, "ada")
    files.path.parent.mkdir(parents=True)
    for name, content in tokens.items():
        number = int(name[1:])
        files.tokens[number] = files.token_path(number)
        files.tokens[number].write_bytes(content)
    return files


def checked(
    files: SignatureFiles, authorities: Stamping | None, options: SignatureOptions | None = None
) -> tuple[list[TokenRecord], list[tuple[str, str, str]]]:
    check = _Check(
        archive=cast("Archive", None),
        files=files,
        options=options or SignatureOptions(),
        authorities=cast("Authorities | None", authorities),
    )
    records = list(check._tokens(b"signature;"))
    return records, [(problem.code, problem.member, problem.message) for problem in check.problems]


def record(number: int, time_ms: int | None = None, authority: str | None = None) -> TokenRecord:
    renewal = "" if number == 1 else f"-{number}"
    return TokenRecord(file=f"a.sig/0001-ada{renewal}.tsr", time_ms=time_ms, authority=authority)


def test_each_token_is_of_the_signature_and_all_before_it(tmp_path: Path) -> None:
    stamping = Stamping()
    files = files_with(tmp_path, n3=b"later", n1=b"early", n2=b"early")
    assert checked(files, stamping) == (
        [record(1, 1_000, "CN=one"), record(2, 1_000, "CN=one"), record(3, 2_000, "CN=two")],
        [],
    )
    assert stamping.asked == [
        (b"signature;", b"early"),
        (b"signature;early", b"early"),
        (b"signature;earlyearly", b"later"),
    ]


def test_a_token_that_is_older_than_the_one_it_renews_proves_nothing(tmp_path: Path) -> None:
    files = files_with(tmp_path, n1=b"later", n2=b"early", n3=b"later", n4=b"at zero")
    older = "it is older than the token that it renews"
    assert checked(files, Stamping()) == (
        [record(1, 2_000, "CN=two"), record(2), record(3, 2_000, "CN=two"), record(4)],
        [("E109", record(number).file, older) for number in (2, 4)],
    )
    assert checked(files_with(tmp_path / "b", n1=b"at zero"), Stamping()) == ([record(1, 0, "CN=zero")], [])


def test_what_does_not_hold_is_told_and_those_behind_are_checked(tmp_path: Path) -> None:
    files = files_with(tmp_path, n1=b"damaged", n2=b"other", n3=b"untrusted", n4=b"odd", n5=b"later", n7=b"early")
    stamping = Stamping()
    records, problems = checked(files, stamping)
    assert records == [*map(record, (1, 2, 3, 4)), record(5, 2_000, "CN=two"), record(7)]
    assert problems == [
        ("E102", record(1).file, "it is in another form"),
        ("E107", record(2).file, "it is a time-stamp of something else"),
        ("E108", record(3).file, "its authority is not trusted"),
        ("E102", record(4).file, "it is damaged: no number"),
        ("E107", record(7).file, "the token that it renews is missing"),
    ]
    assert stamping.asked[4] == (b"signature;damagedotheruntrustedodd", b"later")
    assert len(stamping.asked) == 5
    files.tokens[1].unlink()
    _, [(code, name, message), *_] = checked(files, Stamping())
    assert (code, name) == ("E102", record(1).file)
    assert message.startswith("it is damaged: [Errno 2] No such file")


def test_without_certificates_tokens_are_named_and_not_checked(tmp_path: Path) -> None:
    files, trusting = files_with(tmp_path, n2=b"later", n1=b"early"), SignatureOptions(signers=tmp_path)
    said = "its time-stamp was not checked: no certificates of authorities were given"
    assert checked(files, None) == ([record(1), record(2)], [])
    assert checked(files, None, trusting) == ([record(1), record(2)], [("W103", "a.sig/0001-ada.sig", said)])
    files.tokens.clear()
    assert checked(files, None, trusting) == ([], [])


class Placed:
    """An archive of which only the place and the number of exports are looked at."""

    def __init__(self, path: Path, *, distant: bool = False) -> None:
        self.path, self.distant, self.export_number = path, distant, 2
        self.members = self.manifest = self


def signatures(path: Path, options: SignatureOptions, *, distant: bool = False) -> SignatureReport:
    return check_signatures(cast("Archive", Placed(path, distant=distant)), options)


def test_what_is_said_where_nobody_signed(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("")
    trusting = SignatureOptions(signers=tmp_path / "list")
    demanding = SignatureOptions(signers=tmp_path / "list", required=True)
    sentence = "export 2, the newest, has no signature that is accepted"
    for options, expected in (
        (SignatureOptions(), []),
        (trusting, [("W101", "a.sig", sentence)]),
        (demanding, [("E101", "a.sig", sentence)]),
    ):
        report = signatures(tmp_path / "a", options)
        assert [(each.code, each.member, each.message) for each in report.problems] == expected
        assert (report.newest_export, report.records, report.newest_signed) == (2, [], False)
    (tmp_path / "a.sig").mkdir()
    (tmp_path / "a.sig" / "x.tmp").write_text("")
    [stray] = signatures(tmp_path / "a", SignatureOptions()).problems
    said = "it belongs to no signature; a command that was interrupted may have left it"
    assert (stray.code, stray.member, stray.message) == ("W102", "a.sig/x.tmp", said)
    assert signatures(tmp_path / "a", SignatureOptions(), distant=True) == SignatureReport(newest_export=2)
    with pytest.raises(SelectionError) as absent:
        signatures(tmp_path / "a", SignatureOptions(signers=tmp_path / "none"))
    assert str(absent.value) == f"{tmp_path / 'none'}: there is no such list of allowed signers"


def test_a_damaged_signature_is_not_accepted_where_somebody_is_trusted_and_else_not_judged(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("")
    (tmp_path / "a.sig").mkdir()
    (tmp_path / "a.sig" / "0001-ada.sig").write_bytes(b"text")
    for signers, accepted in ((None, None), (tmp_path / "list", False)):
        report = signatures(tmp_path / "a", SignatureOptions(signers=signers))
        assert report.records == [SignatureRecord(file="a.sig/0001-ada.sig", export=1, signer="ada", accepted=accepted)]
        problem = report.problems[0]
        assert (problem.code, problem.member) == ("E102", "a.sig/0001-ada.sig")
        assert problem.message.startswith("it is damaged: it is no signature as ssh-keygen writes one")


def test_what_ssh_keygen_says_is_one_line_without_its_frame(tmp_path: Path) -> None:
    lines = ["@@@@ @@@@", "@ WARNING @", "", " Signing file x", "Write signature to y", "Key  is bad ", "@", "again\r"]
    assert _sentence(lines) == "@ WARNING @; Key  is bad; again"
    assert _sentence([]) == ""
    with pytest.raises(SelectionError) as caught:
        look_at_key(tmp_path / "none")
    assert str(caught.value) == (
        f"{tmp_path / 'none'}: there is no such key; give the file of a private key, or of a public one of an agent"
    )


def test_a_time_is_given_to_ssh_keygen_in_whole_seconds_of_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, expected in (("UTC", "19700102030405"), ("UTC-1", "19700102040405")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert _local_time(97_445_999) == expected
    monkeypatch.undo()
    time.tzset()
