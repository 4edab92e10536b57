"""The only place that runs ssh-keygen. It signs and verifies itself, so that agents and hardware keys work.

What is signed or verified is given to it as a copy in a private folder: so it is what was looked at here, and nothing
that it writes is taken before it is checked. Its questions (a passphrase, a touch) go to the terminal.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlflow_archive.errors import KeyRefusedError, MissingProgramError, SelectionError
from mlflow_archive.signing.folder import NAMESPACE
from mlflow_archive.signing.sshsig import parse_signature
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.private_folder import PrivateFolder

_PROGRAM: Final = "ssh-keygen"
_KEY: Final = re.compile(r"[0-9]+ (SHA256:\S+) (.*) \(\S+\)")
_NO_COMMENT: Final = "no comment"
_FOR_THE_USER: Final = ("Confirm user presence", "User presence confirmed")
_NOT_NOW: Final = ("key has expired", "key is not yet valid")
"""What ssh-keygen says where a key is allowed, at another time; it has one exit code for all refusals."""


class SignerNotAllowedError(KeyRefusedError):
    """The key is not one that the list allows for this name."""


class SignerNotValidError(KeyRefusedError):
    """The list allows the key for this name, at another time."""


class OtherSignedError(KeyRefusedError):
    """A signature is not one of these bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What is public of a key. ``comment`` is empty where there is none."""

    fingerprint: str
    comment: str


def look_at_key(key: Path) -> KeyFacts:
    """Return what a key file tells without its passphrase. Raises SelectionError, MissingProgramError."""
    if not key.is_file():
        raise SelectionError(
            f"{key}: there is no such key; give the file of a private key, or of a public one of an agent"
        )
    done = subprocess.run([_program(), "-l", "-f", str(key.absolute())], capture_output=True, check=False)  # noqa: S603
    match = _KEY.fullmatch(done.stdout.decode("utf-8", "replace").strip())
    if match is None:
        said = _sentence(done.stderr.decode("utf-8", "replace").splitlines() or ["nothing"])
        raise SelectionError(f"{key} is no key that ssh-keygen can read; it says {said!r}")
    return KeyFacts(fingerprint=match[1], comment="" if match[2] == _NO_COMMENT else match[2])


def sign_bytes(data: bytes, key: Path, *, files: Files, tell: Callable[[str], None]) -> bytes:
    """Return a signature of ``data``, as ssh-keygen writes it. ``key`` is private, or public for an agent.

    ``tell`` is called with what ssh-keygen asks of a user who holds a hardware key. Raises MissingProgramError,
    KeyRefusedError where the key cannot sign.
    """
    program = _program()
    with PrivateFolder() as folder:
        copy = _copy(folder.path / "manifest", data, files)
        # The name of the signature is free: where it is not, ssh-keygen asks, and keeps the old one with exit code 0.
        arguments = ["-Y", "sign", "-f", str(key.absolute()), "-n", NAMESPACE, str(copy)]
        code, said = _run([program, *arguments], tell)
        written = copy.with_name(f"{copy.name}.sig")
        if code or not written.exists():
            raise KeyRefusedError(f"{key} cannot sign: ssh-keygen says {said!r}")
        signature = written.read_bytes()
    parse_signature(signature)
    check_signed(data, signature, where=f"what ssh-keygen wrote with {key}", files=files)
    return signature


def check_signed(data: bytes, signature: bytes, *, where: str, files: Files) -> None:
    """Raise OtherSignedError if a signature is not one of ``data``, by whomever."""
    with PrivateFolder() as folder:
        copy = _copy(folder.path / "signature", signature, files)
        code, said = _ask([_program(), "-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(copy)], data)
    if code:
        raise OtherSignedError(f"{where} is no signature of this manifest: ssh-keygen says {said!r}")


def check_signer(
    data: bytes, signature: bytes, *, signers: Path, signer: str, time_ms: int | None, files: Files
) -> None:
    """Raise a KeyRefusedError unless ``signature`` is one of ``data`` by a key that the list allows to a signer.

    ``signers`` is a list as ``man ssh-keygen`` describes under ALLOWED SIGNERS; ``time_ms`` is when the key must have
    been valid, None for now.
    """
    with PrivateFolder() as folder:
        copy = _copy(folder.path / "signature", signature, files)
        options = [] if time_ms is None else [f"-Overify-time={_local_time(time_ms)}"]
        arguments = [*options, "-f", str(signers.absolute()), "-I", signer, "-n", NAMESPACE, "-s", str(copy)]
        code, said = _ask([_program(), "-Y", "verify", *arguments], data)
    if not code:
        return
    check_signed(data, signature, where="it", files=files)
    if any(text in said for text in _NOT_NOW):
        raise SignerNotValidError(f"the key of {signer} was not valid at that time: ssh-keygen says {said!r}")
    raise SignerNotAllowedError(f"{signers} does not allow this key to {signer}: ssh-keygen says {said!r}")


def _local_time(time_ms: int) -> str:
    """Return a time as ssh-keygen takes it: without a zone it is local, and before OpenSSH 9.1 there is no zone."""
    return time.strftime("%Y%m%d%H%M%S", time.localtime(time_ms // 1000))


def _program() -> str:
    program = shutil.which(_PROGRAM)
    if program is None:
        raise MissingProgramError(
            f"{_PROGRAM} is not installed, and it is what signs and checks: install OpenSSH's client"
        )
    return program


def _copy(path: Path, data: bytes, files: Files) -> Path:
    with files.create(path) as output:
        output.write(data)
    return path


def _run(command: Sequence[str], tell: Callable[[str], None]) -> tuple[int, str]:
    """Run it with the terminal as it is; return its exit code and what it said."""
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - the program of the PATH, no shell
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in process.stderr or ():
            lines.append(line.strip())
            if line.startswith(_FOR_THE_USER):
                tell(line.strip())
    return process.returncode, _sentence(lines)


def _ask(command: Sequence[str], data: bytes) -> tuple[int, str]:
    done = subprocess.run(command, input=data, capture_output=True, check=False)  # noqa: S603 - as above
    return done.returncode, _sentence(done.stderr.decode("utf-8", "replace").splitlines())


def _sentence(lines: Sequence[str]) -> str:
    """Return what was said in one line, without the frame of signs around a warning."""
    said = [line.strip() for line in lines if line.strip("@ \r\n")]
    return "; ".join(line for line in said if not line.startswith(("Signing file", "Write signature")))
