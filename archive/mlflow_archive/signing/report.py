"""What is known of the signatures of an archive: who signed which export, when, and what is not accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow_archive.format.problems import Problem
from mlflow_archive.reader.inspection.rows import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureOptions:
    """Whom to trust. ``signers`` is a list of allowed signers, None to accept none and only say what is there.

    ``required`` demands a signature of the newest export; ``tsa_ca`` holds the certificates of time-stamp authorities.
    """

    signers: Path | None = None
    required: bool = False
    tsa_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """A time-stamp token. ``time_ms`` and ``authority`` are what it proves, None where nothing, or unchecked."""

    file: str
    time_ms: int | None = None
    authority: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "time": None if self.time_ms is None else Moment(self.time_ms).iso(),
            "authority": self.authority,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRecord:
    """A signature. ``accepted`` is None where no signers were given to hold it against.

    ``signer`` is the name of its file, which proves nothing unless it is accepted. ``key_type`` and ``fingerprint`` are
    those of the key, empty where the file is damaged.
    """

    file: str
    export: int
    signer: str
    key_type: str = ""
    fingerprint: str = ""
    accepted: bool | None = None
    tokens: tuple[TokenRecord, ...] = ()

    @property
    def time_ms(self) -> int | None:
        """When it was there at the latest, by the oldest of its tokens that hold; None where none was checked."""
        return min((token.time_ms for token in self.tokens if token.time_ms is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "export": self.export,
            "signer": self.signer,
            "key_type": self.key_type,
            "fingerprint": self.fingerprint,
            "accepted": self.accepted,
            "time": None if self.time_ms is None else Moment(self.time_ms).iso(),
            "tokens": [token.to_json() for token in self.tokens],
        }


@dataclass(slots=True, kw_only=True)
class SignatureReport:
    """All signatures of an archive, by export and name, with the problems that were found."""

    newest_export: int
    records: list[SignatureRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where all that is there is accepted, and what is required is there; warnings may be there."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def newest_signed(self) -> bool:
        """Whether an accepted signature covers all of the archive."""
        return any(record.accepted for record in self.records if record.export == self.newest_export)

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "newest_export": self.newest_export,
            "newest_signed": self.newest_signed,
            "records": [record.to_json() for record in self.records],
            "problems": [problem.to_json() for problem in self.problems],
        }
