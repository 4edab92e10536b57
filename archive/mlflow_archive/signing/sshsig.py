"""OpenSSH signatures in the one form that ssh-keygen writes (its PROTOCOL.sshsig): values in, values out, no I/O.

ssh-keygen takes more forms than it writes: it skips white space and what follows a signature, so that a file with a
flipped bit may pass. Here whatever is not byte for byte what ssh-keygen would write is refused. Whether the signature
is right, only ssh-keygen says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_BEGIN: Final = b"-----BEGIN SSH SIGNATURE-----\n"
_END: Final = b"-----END SSH SIGNATURE-----\n"
_LINE: Final = 70
_HASHES: Final = (b"sha256", b"sha512")
_CERTIFICATE: Final = b"-cert-v01@openssh.com"
_OF_RSA: Final = (b"rsa-sha2-256", b"rsa-sha2-512")
_KEY_FIELDS: Final = {
    b"ssh-ed25519": 1,
    b"ssh-rsa": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ssh-ed25519@openssh.com": 2,
    b"sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
"""How many strings follow the type in a public key. (RSA has two numbers, which are written like strings.)"""

MAX_SIZE: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSignature:
    """What a signature states of itself. ``key_type`` is as in authorized_keys; of a certificate, its key's."""

    key_type: str
    fingerprint: str
    namespace: str


def parse_signature(data: bytes) -> SshSignature:
    """Read a signature file. Raises ValueError, with the reason, for all but what ssh-keygen writes."""
    blob = _blob(data)
    if not blob.startswith(_MAGIC + struct.pack(">I", _VERSION)):
        raise ValueError(f"its blob does not begin with {_MAGIC.decode()} and version {_VERSION}")
    key, namespace, reserved, hash_name, signature = _strings(blob[len(_MAGIC) + 4 :], 5)
    if reserved:
        raise ValueError("its reserved field is not empty")
    if hash_name not in _HASHES:
        raise ValueError(f"its hash is {hash_name!r}, expected sha256 or sha512")
    plain = _plain_key(key)
    key_type = _strings(plain, None)[0]
    algorithm = _strings(signature[: 4 + int.from_bytes(signature[:4])], 1)[0]
    if algorithm not in (_OF_RSA if key_type == b"ssh-rsa" else (key_type,)):
        raise ValueError(f"its algorithm {algorithm!r} is not one of its key, {key_type.decode()}")
    digest = base64.b64encode(hashlib.sha256(plain).digest()).rstrip(b"=").decode()
    return SshSignature(
        key_type=key_type.decode(), fingerprint=f"SHA256:{digest}", namespace=namespace.decode("utf-8", "replace")
    )


def _blob(data: bytes) -> bytes:
    """Take the armour off, and compare what comes of putting it on again."""
    if not (data.startswith(_BEGIN) and data.endswith(b"\n" + _END)) or len(data) > MAX_SIZE:
        raise ValueError("it is no signature as ssh-keygen writes one: its first or last line differs")
    try:
        blob = base64.b64decode(data[len(_BEGIN) : -len(_END)].replace(b"\n", b""), validate=True)
    except binascii.Error as error:
        raise ValueError(f"its text is no base64: {error}") from error
    if armoured(blob) != data:
        raise ValueError("its text is not as ssh-keygen writes it")
    return blob


def armoured(blob: bytes) -> bytes:
    """Return the file that ssh-keygen writes for the bytes of a signature."""
    text = base64.b64encode(blob)
    lines = [text[start : start + _LINE] + b"\n" for start in range(0, len(text), _LINE)]
    return b"".join([_BEGIN, *lines, _END])


def _strings(data: bytes, count: int | None) -> list[bytes]:
    """Read strings with their lengths before them, as SSH has them (RFC 4251), to the end; ``count`` None for any."""
    strings, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        strings.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(data) or not strings or count not in (None, len(strings)):
        raise ValueError("a field of it ends elsewhere than it says")
    return strings


def _plain_key(key: bytes) -> bytes:
    """Return a public key; of a certificate the key that it is about, as ``ssh-keygen -l`` looks at it."""
    name = _strings(key[: 4 + int.from_bytes(key[:4])], 1)[0]
    plain_name = name
    if name.endswith(_CERTIFICATE):
        plain_name = name.removesuffix(_CERTIFICATE) + (b"@openssh.com" if name.startswith(b"sk-") else b"")
    if plain_name not in _KEY_FIELDS:
        raise ValueError(f"its key is of the type {name!r}, which is not known")
    if name == plain_name:
        _strings(key, 1 + _KEY_FIELDS[name])
        return key
    fields, at = [], 4 + len(name)
    for _ in range(1 + _KEY_FIELDS[plain_name]):  # the first is a nonce
        size = int.from_bytes(key[at : at + 4])
        fields.append(key[at : at + 4 + size])
        at += 4 + size
    return struct.pack(">I", len(plain_name)) + plain_name + b"".join(fields[1:])
