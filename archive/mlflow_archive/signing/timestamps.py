"""Time-stamps (RFC 3161) of signatures: what an authority is asked, and whether its token holds. Speaks to nobody.

rfc3161-client checks the authority's signature, its certificates at the time in the token, and what was time-stamped.
What it does not look at is checked here: that the token is in its normal form, that the certificate is the one that was
signed for, and that each certificate in the token is signed by the one above it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflow_archive.errors import KeyRefusedError, SelectionError, ServerError
from mlflow_archive.optional import needing
from mlflow_archive.signing.der import object_identifier
from mlflow_archive.signing.tokens import HASHES, TimestampToken, is_of_signer, normal_form, parse_token

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse, TimeStampTokenInfo

_PURPOSE: Final = "a time-stamp"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DamagedTokenError(KeyRefusedError):
    """A token is not in the one form in which tokens are taken."""


class OtherStampedError(KeyRefusedError):
    """A token is about other bytes."""


class UntrustedTokenError(KeyRefusedError):
    """A token is not signed by an authority that is trusted, or was not at its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a token that holds proves: that its bytes were there at ``time_ms``, as ``authority`` says."""

    time_ms: int
    authority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """A token that is about the right bytes, whoever made it: its parts, and what the library reads in it."""

    token: TimestampToken
    response: TimeStampResponse
    stated: TimeStampTokenInfo


def check_installed() -> None:
    """Raise MissingExtraError where time-stamps need more packages, before anything is done without them."""
    with needing("timestamp", _PURPOSE):
        import rfc3161_client  # noqa: F401, PLC0415


def request_stamp(data: bytes, ask: Callable[[bytes], bytes]) -> bytes:
    """Return the token of an authority for some bytes, in the normal form, not trusted yet.

    ``ask`` sends a request to the authority and returns its answer. Raises ServerError where that is no answer to the
    request, and what ``ask`` raises.
    """
    with needing("timestamp", _PURPOSE):
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # noqa: PLC0415
    request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    answer = ask(request.as_bytes())
    try:
        token = normal_form(answer)
        stamped = check_stamped(token, data)
    except (ValueError, KeyRefusedError) as error:
        raise ServerError(f"what the authority answered is no time-stamp that can be kept: {error}") from error
    if stamped.stated.nonce != request.nonce:
        raise ServerError("the authority answered another request: the number that was sent with this one is not in it")
    return token


def check_stamped(encoded: bytes, data: bytes) -> Stamped:
    """Return a token that is in its form and about ``data``, without trust in anybody.

    Raises DamagedTokenError, OtherStampedError.
    """
    try:
        token = parse_token(encoded)
    except ValueError as error:
        raise DamagedTokenError(f"it is damaged, or not in the form that is taken: {error}") from error
    response, stated = _decoded(encoded)
    imprint = stated.message_imprint
    name = HASHES.get(object_identifier(imprint.hash_algorithm.dotted_string))
    if name is None or imprint.message != hashlib.new(name, data).digest():
        raise OtherStampedError("it is a time-stamp of something else")
    return Stamped(token=token, response=response, stated=stated)


class Authorities:
    """Certificates in a PEM file: roots, which sign themselves, and others, also the authorities' own."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises SelectionError where there are no certificates, or no root among them."""
        with needing("timestamp", _PURPOSE):
            from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415
        try:
            certificates = load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SelectionError(f"{path}: no certificates of time-stamp authorities can be read: {error}") from error
        self._roots = [certificate for certificate in certificates if certificate.subject == certificate.issuer]
        self._others = [certificate for certificate in certificates if certificate.subject != certificate.issuer]
        if not self._roots:
            raise SelectionError(f"{path}: none of its certificates signs itself; give the root of the authority, too")

    def check(self, data: bytes, token: bytes) -> Stamp:
        """Return what a token proves of ``data``. The certificates must have been valid at its time, not now.

        Raises DamagedTokenError, OtherStampedError, UntrustedTokenError.
        """
        from cryptography.x509 import InvalidVersion  # noqa: PLC0415 - asked for above
        from rfc3161_client import VerificationError, VerifierBuilder  # noqa: PLC0415

        stamped = check_stamped(token, data)
        try:
            signer = self._signer(stamped.token)
            verifier = VerifierBuilder(
                roots=self._roots,
                intermediates=[certificate for certificate in self._others if certificate != signer],
                tsa_certificate=None if stamped.token.certificates else signer,
            )
            verifier.build().verify(stamped.response, stamped.stated.message_imprint.message)
        except (VerificationError, InvalidVersion, ValueError) as error:
            raise UntrustedTokenError(f"its authority is not trusted, or was not at its time: {error}") from error
        time_ms = (stamped.stated.gen_time.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
        return Stamp(time_ms=time_ms, authority=signer.subject.rfc4514_string())

    def _signer(self, token: TimestampToken) -> Certificate:
        """Return the certificate that the token is signed with, once it and those in the token are what was signed."""
        from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - asked for above
        from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415

        inner = [load_der_x509_certificate(encoded) for encoded in token.certificates]
        known = {
            certificate.public_bytes(Encoding.DER): certificate for certificate in (*inner, *self._others, *self._roots)
        }
        signers = [certificate for encoded, certificate in known.items() if is_of_signer(token, encoded)]
        if not signers:
            raise UntrustedTokenError("the certificate of its authority is neither in it nor given; add it to --tsa-ca")
        for certificate in inner:
            if not any(
                _issued(certificate, issuer) for issuer in known.values() if issuer.subject == certificate.issuer
            ):
                name = certificate.subject.rfc4514_string()
                raise UntrustedTokenError(
                    f"the certificate of {name} in it is signed by none that is known; add its issuer to --tsa-ca"
                )
        return signers[0]


def _decoded(token: bytes) -> tuple[TimeStampResponse, TimeStampTokenInfo]:
    with needing("timestamp", _PURPOSE):
        from rfc3161_client import decode_timestamp_response  # noqa: PLC0415
    try:
        response = decode_timestamp_response(token)
        stated = response.tst_info  # which is decoded only now
    except ValueError as error:
        raise DamagedTokenError(f"it cannot be read as a time-stamp: {error}") from error
    return response, stated


def _issued(certificate: Certificate, issuer: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - asked for above

    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
