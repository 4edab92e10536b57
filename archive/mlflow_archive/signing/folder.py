"""The folder ``NAME.sig`` beside an archive: which file is what (spec/signatures.md, "Layout"). Reads, never writes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.location import ArchivePath, RemotePlace

SUFFIX: Final = ".sig"
NAMESPACE: Final = "mlflow-archive"
MAX_SIZE: Final = 1024 * 1024
"""Of a file that is read from the folder, in bytes: more is none of ours."""

_SIGNER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_NUMBERED: Final = re.compile(r".*-[0-9]+")
_SIGNATURE: Final = re.compile(r"([0-9]{4})-(.+)\.sig")
_TOKEN: Final = re.compile(r"([0-9]{4}-.+?)(?:-([2-9]|[1-9][0-9]+))?\.tsr")


def signatures_folder(archive: ArchivePath) -> Path:
    """Return where the signatures of an archive lie, of either form. Raises SelectionError for one in a bucket.

    >>> str(signatures_folder("/data/runs.mlfa"))
    '/data/runs.mlfa.sig'
    """
    if isinstance(archive, RemotePlace):
        raise SelectionError(
            f"{archive}: signatures are made and checked beside an archive on this machine; download both first"
        )
    path = Path(archive).absolute()
    if path.name in ("", ".."):
        path = path.resolve()
    return path.with_name(path.name + SUFFIX)


def signer_name(name: str) -> str:
    """Return a name that may be a signer's. Raises SelectionError for one that cannot be a file's name everywhere."""
    if not _SIGNER.fullmatch(name) or _NUMBERED.fullmatch(name):
        raise SelectionError(
            f"{name!r} cannot be the name of a signer: it is 1 to 100 of A-Z a-z 0-9 . _ @ + -, begins with a letter "
            "or digit and does not end in - and a number; give --signer NAME, as it stands in allowed_signers"
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFiles:
    """A signature ``NNNN-SIGNER.sig`` with its time-stamp tokens, the oldest first, by their numbers from 1."""

    path: Path
    export: int
    signer: str
    tokens: dict[int, Path] = field(default_factory=dict)

    def token_path(self, number: int) -> Path:
        """Return where a token lies: the first has no number in its name, each renewal has."""
        renewal = "" if number == 1 else f"-{number}"
        return self.path.with_name(f"{self.path.stem}{renewal}.tsr")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturesFolder:
    """What lies in the folder. ``strays`` are files that belong to no signature."""

    path: Path
    signatures: tuple[SignatureFiles, ...]
    strays: tuple[Path, ...]


def signature_files(folder: Path, export: int, signer: str) -> SignatureFiles:
    """Return what the files of one signature are called, none of which need be there."""
    return SignatureFiles(path=folder / f"{export:04d}-{signer}.sig", export=export, signer=signer)


def read_folder(folder: Path) -> SignaturesFolder:
    """List the folder, sorted by name; one that is not there has nothing in it. Raises SelectionError for a file."""
    if not folder.exists():
        return SignaturesFolder(path=folder, signatures=(), strays=())
    if not folder.is_dir():
        raise SelectionError(f"{folder} is no folder; the signatures of an archive lie in one")
    paths = sorted(folder.iterdir())
    signatures = {path.stem: found for path in paths if (found := _signature(path)) is not None}
    strays = [path for path in paths if path.stem not in signatures or path.suffix != SUFFIX]
    return SignaturesFolder(
        path=folder, signatures=tuple(signatures.values()), strays=tuple(_without_tokens(strays, signatures))
    )


def _signature(path: Path) -> SignatureFiles | None:
    match = _SIGNATURE.fullmatch(path.name)
    if match is None or not _is_file(path) or not _SIGNER.fullmatch(match[2]) or _NUMBERED.fullmatch(match[2]):
        return None
    return signature_files(path.parent, int(match[1]), match[2]) if int(match[1]) else None


def _without_tokens(paths: Iterable[Path], signatures: dict[str, SignatureFiles]) -> Iterable[Path]:
    """Yield the paths that are no tokens, and give each token to its signature."""
    for path in paths:
        match = _TOKEN.fullmatch(path.name)
        if match is None or match[1] not in signatures or not _is_file(path):
            yield path
        else:
            signatures[match[1]].tokens[int(match[2] or 1)] = path


def _is_file(path: Path) -> bool:
    """Links are not followed: what is checked is what is carried."""
    return path.is_file() and not path.is_symlink()


def read_file(path: Path) -> bytes:
    """Read a file of the folder. Raises ValueError where it is too large to be one of ours."""
    with path.open("rb") as file:
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise ValueError(f"it has more than {MAX_SIZE} bytes")
    return data
