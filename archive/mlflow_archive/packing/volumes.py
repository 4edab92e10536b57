"""What a set of volumes is (spec/volumes.md): names, the record, the list. Values in, values out.

    BASE.json            the record: of the archive, of every volume and of what lies beside them
    BASE.mlfa.age.001    the volumes: pieces of one stream (without encryption BASE.mlfa.001)
    BASE.identity.age    with a passphrase: the key, encrypted with it
    BASE.mlfa.sig/…      the signatures of the archive
    BASE.par2, …         parity over all of these and README.txt
    BASE.sha256          the list of all files; it is written last

BASE is the name of the archive and the id of the set.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.format.json_text import parse_json
from mlflow_archive.format.layout import SINGLE_FILE_SUFFIX
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.signing.folder import SUFFIX

FORMAT: Final = "mlflow-archive-volumes"
VERSION: Final = 1
MAX_VOLUMES: Final = 9_999
MAX_RECORD_SIZE: Final = 16 * 2**20
README: Final = "README.txt"

_BASE: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{8}"
_VOLUME: Final = re.compile(rf"({_BASE})\.mlfa(?:\.age)?\.[0-9]{{3,4}}")
_OF_SET: Final = re.compile(rf"({_BASE})\.(?:json|sha256|par2|vol[0-9]+\+[0-9]+\.par2)")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,199}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFile:
    """A file of a set: its name in the folder, size in bytes and SHA-256 in hex."""

    name: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of the files of a set."""

    base: str
    encrypted: bool = False

    @property
    def record(self) -> str:
        return f"{self.base}.json"

    @property
    def checksums(self) -> str:
        return f"{self.base}.sha256"

    @property
    def parity(self) -> str:
        """The file of the parity that has no recovery blocks; the others are ``BASE.vol…par2``."""
        return f"{self.base}.par2"

    @property
    def identity(self) -> str:
        return f"{self.base}.identity.age"

    @property
    def signatures(self) -> str:
        """The folder of the signatures."""
        return f"{self.base}{SINGLE_FILE_SUFFIX}{SUFFIX}"

    @property
    def joined(self) -> str:
        """What the volumes are when they are put together."""
        return f"{self.base}{SINGLE_FILE_SUFFIX}{'.age' if self.encrypted else ''}"

    def volume(self, number: int, digits: int) -> str:
        """Return the name of a volume, numbered from 1."""
        return f"{self.joined}.{number:0{digits}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecord:
    """What the record says. ``archive_size`` is that of the single file; ``beside`` are neither volumes nor parity."""

    base: str
    archive_id: str
    archive_size: int
    encrypted: bool
    volumes: tuple[SetFile, ...]
    beside: tuple[SetFile, ...]

    @property
    def names(self) -> Names:
        return Names(base=self.base, encrypted=self.encrypted)

    @property
    def digits(self) -> int:
        """How many digits the numbers of the volumes have: the number of volumes is not known before the last."""
        return len(self.volumes[0].name.rpartition(".")[2]) if self.volumes else 0

    @property
    def size(self) -> int:
        """Bytes of all volumes."""
        return sum(volume.size for volume in self.volumes)


def base_name(archive_name: str, set_id: str) -> str:
    """Return the start of all names of a set.

    >>> base_name("My models.mlfa", "0123abcd")
    'My-models-0123abcd'
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", archive_name.removesuffix(SINGLE_FILE_SUFFIX))[:80].strip("-.")
    return f"{stem or 'archive'}-{set_id}"


def set_of(name: str) -> str | None:
    """Return the base of the set that a record, list or parity file is of by its name; None for other files."""
    match = _OF_SET.fullmatch(name)
    return match[1] if match else None


def set_of_volume(name: str) -> str | None:
    """Return the base of the set that a volume is of by its name; None for other files."""
    match = _VOLUME.fullmatch(name)
    return match[1] if match else None


def is_signature_name(name: str) -> bool:
    """Return whether a file with this name can travel as a signature: a name that is one everywhere."""
    return _SIGNATURE.fullmatch(name) is not None


def digits_for(count: int) -> int:
    """Return how many digits the numbers of so many volumes have at least."""
    return max(3, len(str(count)))


def encode_record(record: SetRecord) -> bytes:
    """Return the bytes of a record: canonical JSON with the SHA-256 of itself without that key, and a line end."""
    facts = _facts(record)
    return canonical_json({**facts, "checksum": _checksum(facts)}) + b"\n"


def _facts(record: SetRecord) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "set": record.base,
        "archive_id": record.archive_id,
        "archive_size": record.archive_size,
        "encryption": "age" if record.encrypted else None,
        "volumes": [volume.to_json() for volume in record.volumes],
        "beside": [file.to_json() for file in record.beside],
    }


def _checksum(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(facts)).hexdigest()


def decode_record(data: bytes, base: str) -> SetRecord:
    """Read the record of a set. Raises ValueError, with what is wrong, for any other bytes."""
    facts = parse_json(data)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"it is no {FORMAT}")
    if facts.get("version") != VERSION:
        raise ValueError(f"it has version {facts.get('version')!r}, and this program knows {VERSION}")
    checksum = facts.pop("checksum", None)
    if checksum != _checksum(facts):
        raise ValueError("its own checksum is not that of its content")
    try:
        record = SetRecord(
            base=_text(facts, "set"),
            archive_id=_text(facts, "archive_id"),
            archive_size=_number(facts, "archive_size"),
            encrypted=facts["encryption"] == "age",
            volumes=tuple(map(_file, facts["volumes"])),
            beside=tuple(map(_file, facts["beside"])),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a value is missing or has the wrong type: {error}") from None
    _check_names(record, base)
    return record


def _text(facts: Mapping[str, Any], key: str) -> str:
    if not isinstance(facts[key], str):
        raise TypeError(key)
    return str(facts[key])


def _number(facts: Mapping[str, Any], key: str) -> int:
    if not isinstance(facts[key], int) or isinstance(facts[key], bool) or facts[key] < 0:
        raise TypeError(key)
    return int(facts[key])


def _file(facts: Mapping[str, Any]) -> SetFile:
    sha256 = _text(facts, "sha256")
    if _SHA256.fullmatch(sha256) is None:
        raise TypeError("sha256")
    return SetFile(name=_text(facts, "name"), size=_number(facts, "size"), sha256=sha256)


def _check_names(record: SetRecord, base: str) -> None:
    """Refuse names that ``pack`` does not give: they become paths."""
    if record.base != base or not _volumes_are_numbered(record):
        raise ValueError("its volumes are not named as those of this set")
    _check_names_beside(record.names, [file.name for file in record.beside])


def _volumes_are_numbered(record: SetRecord) -> bool:
    """Return whether the volumes have the names that ``pack`` gives to so many, in their order."""
    count, digits = len(record.volumes), record.digits
    if not 1 <= count <= MAX_VOLUMES or not digits_for(count) <= digits <= digits_for(MAX_VOLUMES):
        return False
    expected = [record.names.volume(number, digits) for number in range(1, count + 1)]
    return [volume.name for volume in record.volumes] == expected


def _check_names_beside(names: Names, names_beside: list[str]) -> None:
    folder = f"{names.signatures}/"
    signatures = [name.removeprefix(folder) for name in names_beside if name.startswith(folder)]
    if len(set(names_beside)) != len(names_beside) or not all(map(is_signature_name, signatures)):
        raise ValueError("it names a file that is no signature")
    if not {name for name in names_beside if not name.startswith(folder)} <= {README, names.identity}:
        raise ValueError("it names a file that does not belong to a set")


def checksum_lines(files: Iterable[SetFile]) -> bytes:
    """Return the list, as ``sha256sum -c`` reads it.

    >>> checksum_lines([SetFile(name="b", size=0, sha256="11"), SetFile(name="a", size=0, sha256="22")])
    b'22  a\\n11  b\\n'
    """
    return "".join(f"{file.sha256}  {file.name}\n" for file in sorted(files, key=lambda file: file.name)).encode()
