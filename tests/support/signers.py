"""People with OpenSSH keys, and lists that allow them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Somebody with a key."""

    name: str
    key: Path

    @property
    def public(self) -> str:
        """Type and text of the public key, as in a list of allowed signers."""
        return " ".join(self.key.with_name(f"{self.key.name}.pub").read_text().split()[:2])


def new_signer(folder: Path, name: str, *, kind: str = "ed25519", passphrase: str = "") -> Signer:
    """Make a key for somebody."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / f"key of {name}"
    arguments = ["-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(key)]
    subprocess.run(["ssh-keygen", *arguments], check=True)
    return Signer(name=name, key=key)


def allowed(path: Path, *signers: Signer, options: str = "") -> Path:
    """Write a list that allows some people's keys."""
    path.write_text("".join(f"{signer.name} {options} {signer.public}\n" for signer in signers))
    return path


def sign_by_hand(signer: Signer, data: bytes, *, namespace: str = "mlflow-archive") -> bytes:
    """Return what ssh-keygen itself writes."""
    command = ["ssh-keygen", "-Y", "sign", "-f", str(signer.key), "-n", namespace]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout
