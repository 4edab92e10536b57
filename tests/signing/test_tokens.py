"""A token is kept in one form: what no signature covers is left out of an authority's answer, or has one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import pytest

from mlflow_archive.signing.der import (
    BIT_STRING,
    CONTEXT_0,
    INTEGER,
    NULL,
    SEQUENCE,
    SET,
    DerField,
    field,
    fields,
    inside,
    leading,
    object_identifier,
)
from mlflow_archive.signing.tokens import is_of_signer, normal_form, parse_token
from tests.spec.make_signature_vectors import VECTORS
from tests.support.authority import Authority, make_authority, query

TOKEN: Final = (VECTORS / "stamped" / "0002-ada.tsr").read_bytes()
UTF8: Final = 0x0C
CONTEXT_1: Final = 0xA1


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of an answer that tests change."""

    status: bytes
    kind: bytes
    version: bytes
    hashes: bytes
    information: bytes
    certificates: tuple[bytes, ...]
    lists: bytes
    signers: tuple[bytes, ...]

    def answer(self) -> bytes:
        certificates = field(CONTEXT_0, *self.certificates) if self.certificates else b""
        signed = [self.version, self.hashes, self.information, certificates, self.lists, field(SET, *self.signers)]
        content = field(CONTEXT_0, field(SEQUENCE, *signed))
        return field(SEQUENCE, self.status, field(SEQUENCE, self.kind, content))


def parts_of(answer: bytes) -> Parts:
    [response] = fields(answer)
    status, content_info = fields(response.content)
    kind, content = fields(content_info.content)
    version, hashes, information, certificates, signers = fields(inside(content, SEQUENCE).content)
    return Parts(
        status=status.encoded,
        kind=kind.encoded,
        version=version.encoded,
        hashes=hashes.encoded,
        information=information.encoded,
        certificates=tuple(one.encoded for one in fields(certificates.content)),
        lists=b"",
        signers=tuple(one.encoded for one in fields(signers.content)),
    )


PARTS: Final = parts_of(TOKEN)


def with_signer(*extra: bytes, number: int | None = None, value: bytes = b"") -> Parts:
    """Return the answer with one field of its signer replaced, and others behind."""
    [signer] = fields(PARTS.signers[0])
    inner = [one.encoded for one in fields(signer.content)]
    if number is not None:
        inner[number] = value
    return replace(PARTS, signers=(field(SEQUENCE, *inner, *extra),))


def refusal(*texts: bytes) -> bytes:
    """Return a status that grants nothing, with texts that say why, and a failure that nobody reads."""
    said = field(SEQUENCE, *(field(UTF8, text) for text in texts))
    return field(SEQUENCE, field(INTEGER, b"\2"), said, field(BIT_STRING, b"\0\1"))


def test_the_token_is_in_the_form() -> None:
    assert PARTS.answer() == TOKEN == normal_form(TOKEN)
    token = parse_token(TOKEN)
    assert token.certificates == PARTS.certificates
    assert token.certificate_hash[0] == "sha256"
    assert is_of_signer(token, token.certificates[0])


@pytest.mark.parametrize(
    "parts",
    [
        replace(PARTS, status=field(SEQUENCE, field(INTEGER, b"\1"), field(SEQUENCE, field(UTF8, b"Operation Okay")))),
        replace(PARTS, version=field(INTEGER, b"\1")),
        replace(PARTS, hashes=field(SET)),
        replace(PARTS, lists=field(CONTEXT_1, field(SEQUENCE))),
        with_signer(number=0, value=field(INTEGER, b"\3")),
        with_signer(field(CONTEXT_1, field(SEQUENCE))),
    ],
    ids=["status", "version", "hashes", "revocation lists", "signer's version", "unsigned attributes"],
)
def test_what_is_not_covered_is_left_out_and_not_accepted(parts: Parts) -> None:
    assert normal_form(parts.answer()) == TOKEN
    with pytest.raises(ValueError, match="it holds more than the authority's signature covers"):
        parse_token(parts.answer())


def test_of_the_certificates_those_stay_that_the_signer_stands_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = make_authority(tmp_path_factory.mktemp("chain") / "tsa", with_chain=True)
    answer = authority.reply(query(b"data"))
    token = normal_form(answer)
    kept = [encoded(authority, name) for name in ("own", "middle")]
    assert parse_token(token).certificates == tuple(sorted(kept))
    assert len(parts_of(answer).certificates) == 3
    others = (*PARTS.certificates, *parts_of(answer).certificates)
    assert normal_form(replace(parts_of(answer), certificates=others).answer()) == token
    lacking = replace(parts_of(token), certificates=(kept[1],)).answer()
    assert parse_token(normal_form(lacking)).certificates == ()


def encoded(authority: Authority, name: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    data: bytes = getattr(authority, name).certificate.public_bytes(Encoding.DER)
    return data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no answer of a time-stamp authority"),
        (field(SET), "no answer of a time-stamp authority"),
        (TOKEN[:-1], "not in DER at byte 0"),
        (TOKEN + b"\0", "not in DER"),
        (TOKEN + field(NULL), "more than the authority's signature covers"),
        (b"\x30\x83\0" + TOKEN[2:], "a length that is not in DER at byte 1"),
        (replace(PARTS, status=field(SEQUENCE)).answer(), "the authority refuses, with status"),
        (
            replace(PARTS, status=field(SEQUENCE, field(INTEGER, b"\2"))).answer(),
            "the authority refuses, with status 02: $",
        ),
        (
            replace(PARTS, status=refusal(b"busy", b"later \xff")).answer(),
            "^the authority refuses, with status 02: busy later \ufffd$",
        ),
        (
            replace(PARTS, information=field(SEQUENCE, object_identifier("1.2.3"), field(CONTEXT_0))).answer(),
            "^what is signed is no time-stamp$",
        ),
        (field(SEQUENCE, PARTS.status), "it has fields of the tags"),
        (replace(PARTS, kind=object_identifier("1.2.840.113549.1.7.1")).answer(), "it holds no signed data"),
        (replace(PARTS, signers=()).answer(), "it has fields of the tags"),
        (replace(PARTS, signers=PARTS.signers * 2).answer(), "it has fields of the tags"),
        (with_signer(number=1, value=field(CONTEXT_0)).answer(), "it has fields of the tags"),
        (
            with_signer(number=2, value=field(SEQUENCE, object_identifier("1.3.14.3.2.26"))).answer(),
            "over another hash than SHA-256, -384 or -512",
        ),
        (
            with_signer(number=4, value=field(SEQUENCE, object_identifier("1.2.840.113549.1.1.12"))).answer(),
            "its signature is none of RSA or ECDSA over sha256",
        ),
        (
            with_signer(
                number=4, value=field(SEQUENCE, object_identifier("1.2.840.113549.1.1.1"), field(SET))
            ).answer(),
            "its signature is none of RSA or ECDSA over sha256",
        ),
        (
            with_signer(number=3, value=field(CONTEXT_0)).answer(),
            "does not name the authority's certificate by its hash",
        ),
    ],
)
def test_all_else_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_token(data)


def test_fields_and_their_lengths() -> None:
    for size in (0, 1, 127, 128, 255, 256, 70_000):
        data = field(SEQUENCE, bytes(size))
        assert fields(data) == [DerField(SEQUENCE, bytes(size), data)]
    assert [
        part.content for part in leading(fields(field(SEQUENCE, field(INTEGER, b"\1"), field(NULL)))[0], INTEGER)
    ] == [b"\1"]
    for wrong in (
        b"\x30",
        b"\x30\x80\0\0",
        b"\x30\x81\x7f" + bytes(127),
        b"\x30\x82\0\x80" + bytes(128),
        b"\x1f\x01\0",
    ):
        with pytest.raises(ValueError, match="not in DER"):
            fields(wrong)
