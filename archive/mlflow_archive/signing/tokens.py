"""Time-stamp tokens (RFC 3161) in one form, in which nothing is but what the authority's signature covers. No I/O.

An answer of an authority also holds what no signature covers: a status with a text, certificates in any number and
order, attributes without signature, names of algorithms that nobody looks at. A flipped bit there goes unnoticed by
those who verify. So an answer is kept in a normal form: what is not covered is left out or has one value.
:func:`parse_token` refuses all that is not in this form; :func:`normal_form` makes it of an answer. The signed bytes
are never changed.

Whether the signature is right, and whose it is, says ``timestamps``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from mlflow_archive.signing.der import (
    BIT_STRING,
    CONTEXT_0,
    INTEGER,
    NULL,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DerField,
    field,
    fields,
    inside,
    leading,
    object_identifier,
)

_GRANTED: Final = field(SEQUENCE, field(INTEGER, b"\0"))
_GRANTED_WORDS: Final = (b"\0", b"\1")
"""As asked, and with changes: what was asked for is compared with the token, so the two are the same here."""
_SIGNED_DATA: Final = object_identifier("1.2.840.113549.1.7.2")
_TOKEN_INFO: Final = object_identifier("1.2.840.113549.1.9.16.1.4")
_SIGNED_DATA_VERSION: Final = field(INTEGER, b"\3")
_SIGNER_VERSION: Final = field(INTEGER, b"\1")
_CERTIFICATE_HASH: Final = {
    object_identifier("1.2.840.113549.1.9.16.2.12"): "sha1",
    object_identifier("1.2.840.113549.1.9.16.2.47"): "sha256",
}
"""The signed attributes that name the authority's certificate, with the hash where none is named."""
_HASH_AND_DIGEST: Final = (SEQUENCE, OCTET_STRING)
_PARTS_OF_A_CERTIFICATE: Final = 3
_NEGATIVE: Final = 0x80
HASHES: Final = {
    object_identifier("2.16.840.1.101.3.4.2.1"): "sha256",
    object_identifier("2.16.840.1.101.3.4.2.2"): "sha384",
    object_identifier("2.16.840.1.101.3.4.2.3"): "sha512",
}
_RSA: Final = "1.2.840.113549.1.1"
_ECDSA: Final = "1.2.840.10045.4.3"
_SIGNATURES: Final = {
    hash_name: tuple(map(object_identifier, (f"{_RSA}.1", f"{_RSA}.{of_rsa}", f"{_ECDSA}.{of_ecdsa}")))
    for hash_name, of_rsa, of_ecdsa in (("sha256", 11, 2), ("sha384", 12, 3), ("sha512", 13, 4))
}
"""The names of a signature over a hash. Libraries look at the key and the hash alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampToken:
    """The parts of a token as they lie in the file: certificates, and who signed (issuer and number).

    ``certificate_hash`` is by which hash, and digest, the signed part names the signer's certificate.
    """

    certificates: tuple[bytes, ...]
    signer: bytes
    certificate_hash: tuple[str, bytes]


def parse_token(data: bytes) -> TimestampToken:
    """Read a token file. Raises ValueError, with the reason, for all but the normal form."""
    token, form = _read(data)
    if token.certificates and not any(is_of_signer(token, certificate) for certificate in token.certificates):
        raise ValueError("the authority's certificate in it is not the one that it was signed for")
    if form != data:
        raise ValueError("it holds more than the authority's signature covers, or holds it in another form")
    return token


def normal_form(answer: bytes) -> bytes:
    """Return the token of an authority's answer, as it is kept. Raises ValueError where there is none in it."""
    return _read(answer)[1]


def _read(data: bytes) -> tuple[TimestampToken, bytes]:
    """Return a token and its normal form."""
    [response] = fields(data)[:1] or [DerField(NULL, b"", b"")]
    if response.tag != SEQUENCE:
        raise ValueError("it is no answer of a time-stamp authority")
    _check_granted(leading(response, SEQUENCE)[0])
    content_info = leading(response, SEQUENCE, SEQUENCE)[1]
    kind, content = leading(content_info, OBJECT_IDENTIFIER, CONTEXT_0)
    if kind.encoded != _SIGNED_DATA:
        raise ValueError("it holds no signed data")
    signed = inside(content, SEQUENCE)
    encapsulated = leading(signed, INTEGER, SET, SEQUENCE)[2]
    kind, content = leading(encapsulated, OBJECT_IDENTIFIER, CONTEXT_0)
    if kind.encoded != _TOKEN_INFO:
        raise ValueError("what is signed is no time-stamp")
    inside(content, OCTET_STRING)
    *optional, signers = fields(signed.content)[3:]
    signer = _Signer(inside(signers, SEQUENCE))
    certificates = [part for field_ in optional if field_.tag == CONTEXT_0 for part in fields(field_.content)]
    chain = _chain(certificates, signer.name)
    token = TimestampToken(
        certificates=tuple(sorted(chain)),
        signer=signer.name,
        certificate_hash=signer.certificate_hash(),
    )
    return token, _encoded(token, encapsulated, signer)


def _check_granted(status: DerField) -> None:
    word, *texts = fields(status.content) or [status]
    if word.tag != INTEGER or word.content not in _GRANTED_WORDS:
        said = b" ".join(part.content for text in texts if text.tag == SEQUENCE for part in fields(text.content))
        raise ValueError(f"the authority refuses, with status {word.content.hex()}: {said.decode('utf-8', 'replace')}")


class _Signer:
    """The one signer of a token: who it is, by which algorithms, and what else is signed."""

    def __init__(self, outer: DerField) -> None:
        parts = leading(outer, INTEGER, SEQUENCE, SEQUENCE, CONTEXT_0, SEQUENCE, OCTET_STRING)
        _, name, self.digest, self.attributes, self.algorithm, self.signature = parts
        self.name = name.encoded
        hash_name = HASHES.get(_algorithm(self.digest))
        if hash_name is None:
            raise ValueError("it is signed over another hash than SHA-256, -384 or -512")
        if _algorithm(self.algorithm) not in _SIGNATURES[hash_name]:
            raise ValueError(f"its signature is none of RSA or ECDSA over {hash_name}")

    def encoded(self) -> bytes:
        """Return it without attributes that are not signed."""
        covered = (self.digest, self.attributes, self.algorithm, self.signature)
        return field(SEQUENCE, _SIGNER_VERSION, self.name, *(part.encoded for part in covered))

    def certificate_hash(self) -> tuple[str, bytes]:
        """Return the hash by which the signed attributes name the signer's certificate: its name, and the digest."""
        named = [leading(attribute, OBJECT_IDENTIFIER, SET) for attribute in fields(self.attributes.content)]
        for kind, default in _CERTIFICATE_HASH.items():
            for values in (values for name, values in named if name.encoded == kind):
                hash_name, digest = _hash_and_digest(values, default)
                if hash_name is not None and digest.tag == OCTET_STRING:
                    return hash_name, digest.content
        raise ValueError("what is signed does not name the authority's certificate by its hash")


def _hash_and_digest(values: DerField, default: str) -> tuple[str | None, DerField]:
    """Return by which hash the values of an attribute name their first certificate, None for an unknown one, and what
    stands where the digest is."""
    [certificate_ids] = leading(inside(values, SEQUENCE), SEQUENCE)
    [certificate_id] = leading(certificate_ids, SEQUENCE)
    *algorithm, digest = [part for part in fields(certificate_id.content)[:2] if part.tag in _HASH_AND_DIGEST]
    return (HASHES.get(_algorithm(algorithm[0])) if algorithm else default), digest


def _algorithm(algorithm: DerField) -> bytes:
    """Return the name of an algorithm without parameters; nothing for one with some."""
    name, *parameters = leading(algorithm, OBJECT_IDENTIFIER) + fields(algorithm.content)[1:]
    is_plain = not parameters or [(part.tag, part.content) for part in parameters] == [(NULL, b"")]
    return name.encoded if is_plain else b""


def _chain(certificates: list[DerField], signer: bytes) -> list[bytes]:
    """Return the signer's certificate and those it stands on, as far as they are there; no root, which is given."""
    owners = {part.encoded: _Owner(part) for part in certificates}
    chain = [encoded for encoded, owner in owners.items() if owner.signer == signer][:1]
    for encoded in chain:  # it grows meanwhile
        issuer = owners[encoded].issuer
        for other, owner in owners.items():
            if owner.subject == issuer != owner.issuer and other not in chain:
                chain.append(other)
    return chain


class _Owner:
    """Who a certificate is of. Raises ValueError for one whose signature is no whole number of bytes."""

    def __init__(self, certificate: DerField) -> None:
        contents, _, signature = leading(certificate, SEQUENCE, SEQUENCE, BIT_STRING)
        if signature.content[:1] != b"\0" or len(fields(certificate.content)) != _PARTS_OF_A_CERTIFICATE:
            raise ValueError("a certificate in it has more than its signature covers")
        parts = fields(contents.content)
        is_numbered = parts[:1] and parts[0].tag == CONTEXT_0  # by its version, as all since 1996 are
        number, _, issuer, _, subject = parts[1:6] if is_numbered else parts[:5]
        if number.tag != INTEGER or not number.content.strip(b"\0") or number.content[0] & _NEGATIVE:
            raise ValueError("a certificate in it has a number that is not above zero")
        self.issuer, self.subject = issuer.encoded, subject.encoded
        self.signer = field(SEQUENCE, issuer.encoded, number.encoded)


def _encoded(token: TimestampToken, encapsulated: DerField, signer: _Signer) -> bytes:
    certificates = [field(CONTEXT_0, *token.certificates)] if token.certificates else []
    signed = field(
        SEQUENCE,
        _SIGNED_DATA_VERSION,
        field(SET, signer.digest.encoded),
        encapsulated.encoded,
        *certificates,
        field(SET, signer.encoded()),
    )
    return field(SEQUENCE, _GRANTED, field(SEQUENCE, _SIGNED_DATA, field(CONTEXT_0, signed)))


def is_of_signer(token: TimestampToken, certificate: bytes) -> bool:
    """Return whether a certificate is the one that a token says it is signed with. Raises ValueError for none."""
    name, digest = token.certificate_hash
    if hashlib.new(name, certificate, usedforsecurity=False).digest() != digest:
        return False
    [outer] = fields(certificate)
    return _Owner(outer).signer == token.signer
