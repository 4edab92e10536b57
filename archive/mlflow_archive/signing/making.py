"""Sign an archive, and have signatures time-stamped: files beside the archive, each whole or not there.

Repeated, nothing is done twice: a signature that is there and right is left, and gets the time-stamp that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_archive.errors import KeyRefusedError, SelectionError, TargetError
from mlflow_archive.reader.archive import Archive
from mlflow_archive.signing.folder import (
    SignatureFiles,
    read_file,
    read_folder,
    signature_files,
    signatures_folder,
    signer_name,
)
from mlflow_archive.signing.manifests import manifest_bytes
from mlflow_archive.signing.openssh import KeyFacts, OtherSignedError, check_signed, look_at_key, sign_bytes
from mlflow_archive.signing.sshsig import parse_signature
from mlflow_archive.signing.timestamps import check_stamped, request_stamp
from mlflow_archive.storage.files import Files

Ask = Callable[[bytes], bytes]
"""Sends a request to a time-stamp authority and returns its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature that is there now. ``written`` are the files that this call wrote, none where all were there."""

    export: int
    signer: str
    fingerprint: str
    path: Path
    tokens: tuple[Path, ...]
    written: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "export": self.export,
            "signer": self.signer,
            "fingerprint": self.fingerprint,
            "file": str(self.path),
            "tokens": [str(path) for path in self.tokens],
            "written": [str(path) for path in self.written],
        }


def sign_newest(
    archive: Archive, key: Path, signer: str | None, *, ask: Ask | None, files: Files, tell: Callable[[str], None]
) -> Signed:
    """Sign the newest export, and have the signature time-stamped where ``ask`` is given.

    The signer is by default the comment of the public key. Raises SelectionError, MissingProgramError,
    KeyRefusedError, TargetError, DamagedError where a copy of the manifest is damaged, and what ``ask`` raises.
    """
    for problem in archive.problems:
        raise problem
    folder = signatures_folder(archive.path)
    number = archive.manifest.export_number
    facts = look_at_key(key)
    paths = signature_files(folder, number, signer_name(signer or facts.comment))
    manifest = manifest_bytes(archive, number)
    paths = next((listed for listed in read_folder(folder).signatures if listed.path == paths.path), paths)
    written = []
    if paths.path.exists():
        _check_present(paths.path, manifest, facts, files)
    else:
        signature = sign_bytes(manifest, key, files=files, tell=tell)
        files.make_directory(folder)
        files.write(paths.path, signature)
        written.append(paths.path)
    if ask is not None and not paths.tokens:
        written += _stamp(paths, ask, files)
    return _signed(paths, written)


def _check_present(path: Path, manifest: bytes, facts: KeyFacts, files: Files) -> None:
    """Raise TargetError unless the signature at a path is what the same call would make, or made."""
    advice = "move it away, or give another --signer"
    signature = _read_signature(path)
    try:
        check_signed(manifest, signature, where=str(path), files=files)
    except OtherSignedError as error:
        raise TargetError(f"{error}; {advice}") from error
    fingerprint = parse_signature(signature).fingerprint
    if fingerprint != facts.fingerprint:
        raise TargetError(f"{path} is there already, by another key ({fingerprint}); {advice}")


def renew_signatures(archive: Archive, signer: str | None, *, ask: Ask, files: Files) -> Iterator[Signed]:
    """Have each signature, or those of one signer, time-stamped once more, with the tokens that it has.

    Raises SelectionError where there is none, KeyRefusedError where a file is damaged, TargetError, and what ``ask``
    raises; those before have their tokens then.
    """
    folder = read_folder(signatures_folder(archive.path))
    chosen = [paths for paths in folder.signatures if signer in (None, paths.signer)]
    if not chosen:
        by = "" if signer is None else f" of {signer}"
        raise SelectionError(f"{folder.path} holds no signature{by}; sign the archive first")
    for paths in chosen:
        yield _signed(paths, _stamp(paths, ask, files))


def _stamp(paths: SignatureFiles, ask: Ask, files: Files) -> list[Path]:
    """Have a signature with all of its tokens time-stamped."""
    stamped = _read_signature(paths.path)
    numbers = sorted(paths.tokens)
    if numbers != list(range(1, len(numbers) + 1)):
        raise KeyRefusedError(
            f"{paths.path}: of its tokens one is missing: {', '.join(p.name for p in paths.tokens.values())}"
        )
    for number in numbers:
        token = read_file(paths.tokens[number])
        try:
            check_stamped(token, stamped)
        except KeyRefusedError as error:
            raise type(error)(f"{paths.tokens[number]}: {error}") from error
        stamped += token
    number = len(numbers) + 1
    path = paths.token_path(number)
    files.write(path, request_stamp(stamped, ask))
    paths.tokens[number] = path
    return [path]


def _read_signature(path: Path) -> bytes:
    """Read a signature file. Raises KeyRefusedError where it is damaged."""
    try:
        data = read_file(path)
        parse_signature(data)
    except ValueError as error:
        raise KeyRefusedError(f"{path} is damaged: {error}; move it away and sign again") from error
    return data


def _signed(paths: SignatureFiles, written: list[Path]) -> Signed:
    return Signed(
        export=paths.export,
        signer=paths.signer,
        fingerprint=parse_signature(read_file(paths.path)).fingerprint,
        path=paths.path,
        tokens=tuple(paths.tokens[number] for number in sorted(paths.tokens)),
        written=tuple(written),
    )
