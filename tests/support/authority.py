"""A time-stamp authority (RFC 3161) that ``openssl ts`` plays, with certificates of any time, behind a small server."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

from mlflow_archive.signing.der import SET, field, fields

_GENERALIZED_TIME: Final = 0x18
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_DAYS: Final = 3650
_CONFIG: Final = """
[tsa]
default_tsa = t
[t]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
{chain}
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def new_key(kind: str = "ec") -> Key:
    """Make a key, ``ec`` or ``rsa``."""
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)


def issue(
    name: str, by: Issued | None, *, key: Key, begin: datetime, days: int = _DAYS, stamps: bool = False
) -> Issued:
    """Make a certificate that ``by`` signs, or a root: of an authority for time-stamps, or of one above others."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not stamps, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if stamps:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(usage, critical=True)
    return Issued(certificate=builder.sign(by.key if by else key, SHA256()), key=key)


@dataclass(slots=True, kw_only=True)
class Authority:
    """An authority with a root, one in between, and its own certificate, in a folder.

    ``with_chain`` puts all three into each token, as some do, in the order of their making. ``uri`` is set while it is
    served; ``answers`` are given first.
    """

    folder: Path
    root: Issued
    middle: Issued
    own: Issued
    with_chain: bool = False
    uri: str = ""
    answers: list[bytes] = attribute(default_factory=list)

    def __post_init__(self) -> None:
        pem = self.own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = f"certs = {self.folder}/chain.pem" if self.with_chain else ""
        for name, data in {
            "tsa.pem": self.own.pem,
            "tsa.key": pem,
            "chain.pem": self.middle.pem + self.root.pem,
            "ca.pem": self.root.pem if self.with_chain else self.middle.pem + self.root.pem,
            "serial": b"01\n",
            "tsa.cnf": _CONFIG.format(folder=self.folder, chain=chain).encode(),
        }.items():
            (self.folder / name).write_bytes(data)

    @property
    def ca(self) -> Path:
        """The certificates that whoever verifies is given: the root, and what no token holds."""
        return self.folder / "ca.pem"

    def reply(self, request: bytes) -> bytes:
        """Answer a request, now."""
        (self.folder / "query").write_bytes(request)
        arguments = ["-config", "tsa.cnf", "-queryfile", "query", "-out", "answer"]
        subprocess.run(["openssl", "ts", "-reply", *arguments], cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "answer").read_bytes()


def make_authority(
    folder: Path, *, with_chain: bool = False, kind: str = "ec", begin: datetime | None = None
) -> Authority:
    """Make an authority whose certificates are valid for ten years from ``begin``, by default a year ago."""
    folder.mkdir(parents=True)
    begin = begin or datetime.now(UTC) - timedelta(days=365)
    root = issue(f"root of {folder.name}", None, key=new_key(kind), begin=begin)
    middle = issue(f"middle of {folder.name}", root, key=new_key(kind), begin=begin)
    own = issue("authority", middle, key=new_key(kind), begin=begin, stamps=True)
    return Authority(folder=folder, root=root, middle=middle, own=own, with_chain=with_chain)


def query(data: bytes, *, certificates: bool = True) -> bytes:
    """Return a request for a time-stamp of some bytes."""
    builder = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256)
    return builder.cert_request(cert_request=certificates).build().as_bytes()


def aged(authority: Authority, answer: bytes, time: datetime) -> bytes:
    """Return an answer as the authority, which has an RSA key, would have given it at another time.

    ``openssl ts`` knows no time but now. All fields keep their sizes, so what depends on the time is put in place.
    """
    key = authority.own.key
    assert isinstance(key, rsa.RSAPrivateKey)
    response = fields(answer)[0]
    signed = fields(fields(fields(fields(response.content)[1].content)[1].content)[0].content)
    old = fields(fields(signed[2].content)[1].content)[0].content
    stated = next(part for part in fields(fields(old)[0].content) if part.tag == _GENERALIZED_TIME)
    new = old.replace(stated.encoded, stated.encoded[:2] + f"{time:%Y%m%d%H%M%SZ}".encode())
    signer = fields(fields(signed[-1].content)[0].content)
    attributes = signer[3].content.replace(sha256(old).digest(), sha256(new).digest())
    signature = key.sign(field(SET, attributes), padding.PKCS1v15(), SHA256())
    for before, after in ((old, new), (signer[3].content, attributes), (signer[5].content, signature)):
        assert answer.count(before) == 1
        answer = answer.replace(before, after)
    return answer


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        authority: Authority = self.server.authority  # type: ignore[attr-defined]
        request = self.rfile.read(int(self.headers["Content-Length"]))
        answer = authority.answers.pop(0) if authority.answers else authority.reply(request)
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        pass


@contextmanager
def served(authority: Authority) -> Iterator[Authority]:
    """Answer requests over HTTP meanwhile; ``authority.answers`` are given instead of its own where there are some."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.authority = authority  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    authority.uri = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield authority
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
