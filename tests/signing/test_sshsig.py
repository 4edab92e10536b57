"""A signature file has one form, that which ssh-keygen writes."""

from __future__ import annotations

import base64
import struct
import subprocess
from pathlib import Path

import pytest

from mlflow_archive.signing.sshsig import SshSignature, armoured, parse_signature
from tests.support.signers import Signer, new_signer, sign_by_hand

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIMv1XHMJHtVu47dW7OxD/VFF6czVXqOk5RQNW/0+JSJz"


def text(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def blob(
    *,
    magic: bytes = b"SSHSIG\0\0\0\1",
    key: bytes = base64.b64decode(KEY),
    namespace: bytes = b"mlflow-archive",
    reserved: bytes = b"",
    hash_name: bytes = b"sha512",
    algorithm: bytes = b"ssh-ed25519",
) -> bytes:
    return magic + text(key, namespace, reserved, hash_name, text(algorithm, bytes(64)))


def test_what_a_signature_states_of_itself() -> None:
    assert parse_signature(armoured(blob())) == SshSignature(
        key_type="ssh-ed25519",
        fingerprint="SHA256:RX70/2rGpKA845E3gP0tnygc6c5hI2RHDQ4lzX6q/xI",
        namespace="mlflow-archive",
    )


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds_are_known_by_the_fingerprint_of_ssh_keygen(tmp_path: Path, kind: str) -> None:
    signer = new_signer(tmp_path, "x", kind=kind)
    listed = subprocess.run(["ssh-keygen", "-lf", signer.key], capture_output=True, text=True, check=True).stdout
    signature = parse_signature(sign_by_hand(signer, b"data"))
    assert signature.fingerprint == listed.split()[1]
    assert signature.key_type == signer.public.split()[0]


def test_a_certificate_is_known_by_its_key(tmp_path: Path, ada: Signer, bob: Signer) -> None:
    key = tmp_path / "key"
    key.write_bytes(ada.key.read_bytes())
    key.chmod(0o600)
    (tmp_path / "key.pub").write_text(ada.public)
    arguments = ["-q", "-s", str(bob.key), "-I", "id", "-n", "ada@bank", str(tmp_path / "key.pub")]
    subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True)
    certified = Signer(name="ada@bank", key=tmp_path / "key-cert.pub")
    (tmp_path / "key-cert").write_bytes(key.read_bytes())
    (tmp_path / "key-cert").chmod(0o600)
    plain = parse_signature(sign_by_hand(ada, b"data"))
    assert parse_signature(sign_by_hand(certified, b"data")) == plain


GOOD = armoured(blob())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "its first or last line differs"),
        (b"text\n" + GOOD, "its first or last line differs"),
        (GOOD + b"text\n", "its first or last line differs"),
        (GOOD.replace(b"\n", b"\r\n"), "its first or last line differs"),
        (GOOD + GOOD, "its text is no base64"),
        (GOOD[:40] + b"*" + GOOD[41:], "its text is no base64"),
        (GOOD[:60] + b"\n" + GOOD[60:], "its text is not as ssh-keygen writes it"),
        (armoured(blob(magic=b"SSHSIG\0\0\0\2")), "does not begin with SSHSIG and version 1"),
        (armoured(blob(reserved=b"x")), "its reserved field is not empty"),
        (armoured(blob(hash_name=b"md5")), "its hash is b'md5'"),
        (armoured(blob(algorithm=b"ssh-rsa")), "its algorithm b'ssh-rsa' is not one of its key, ssh-ed25519"),
        (armoured(blob(key=text(b"ssh-dss", b"x"))), "its key is of the type b'ssh-dss', which is not known"),
        (armoured(blob(key=text(b"ssh-ed25519", b"x", b"y"))), "a field of it ends elsewhere than it says"),
        (armoured(blob() + b"x"), "a field of it ends elsewhere than it says"),
        (armoured(blob()[:-1]), "a field of it ends elsewhere than it says"),
        (armoured(blob(namespace=bytes(70_000))), "its first or last line differs"),
    ],
)
def test_all_else_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_signature(data)
