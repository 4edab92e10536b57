"""Every exception of the library, split by who can act.

    MlflowArchiveError
    ├── ArchiveError              the archive is bad
    │   ├── NotAnArchiveError     there is no archive here, or none was committed yet     exit 10
    │   ├── FormatTooNewError     a newer format or a feature this version lacks          exit 11
    │   ├── DamagedError          bytes are missing or differ from what was committed     exit 12
    │   └── DamagedVolumesError   volumes are missing or damaged beyond their parity      exit 12
    ├── KeyRefusedError           a signature or key is not accepted                      exit 14
    ├── ServerError               a tracking server is unreachable or refused             exit 13
    ├── RemotePlaceError          a bucket or web server is unreachable or refused        exit 13
    ├── StoreError                a file store or database cannot be read as one          exit 1
    ├── TargetError               what we write to refuses: full disk, no permission      exit 1
    ├── MissingExtraError         a package that is not always installed is needed        exit 1
    ├── MissingProgramError       a program of the system is needed                       exit 2
    ├── SelectionError            the caller named something that does not exist          exit 2
    │   └── ElsewhereError        it lies in the base of a delta                          exit 2
    └── ItemError                 one run or artifact could not be carried; the rest can  exit 3

A message says what, where, expected, found, and the next step.
"""

from __future__ import annotations

from collections.abc import Sequence


class MlflowArchiveError(Exception):
    """Base of everything this library raises on purpose."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """What to print: a sentence, and lines below it where there is a list."""
        return (" ".join(str(self).split()),)


class ArchiveError(MlflowArchiveError):
    """The archive is at fault."""


class NotAnArchiveError(ArchiveError):
    """There is no committed archive at this place."""

    exit_code = 10


class FormatTooNewError(ArchiveError):
    """The archive needs a major version or a required feature that this reader lacks."""

    exit_code = 11


class DamagedError(ArchiveError):
    """Bytes of the archive are missing or are not those that were committed.

    ``code`` is a problem code of spec/problems.md; ``member`` the member it was found in.
    """

    exit_code = 12

    def __init__(self, message: str, *, code: str, member: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.member = member

    def of(self, archive: object) -> DamagedError:
        """Return the same with the archive that is damaged, for where there are several."""
        message = str(self).removeprefix(f"{self.code}: ")
        if str(archive) not in message:
            message = f"{archive}: {message}"
        return DamagedError(message, code=self.code, member=self.member)


class DamagedVolumesError(ArchiveError):
    """Volumes are missing, damaged or swapped, and the parity does not give them back.

    ``volumes`` has a line for each that is not as it was written.
    """

    exit_code = 12

    def __init__(self, message: str, volumes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.volumes = tuple(volumes)

    @property
    def lines(self) -> tuple[str, ...]:
        """What to print: the sentence, and the volumes below it."""
        return (*super().lines, *(f"  {line}" for line in self.volumes))


class KeyRefusedError(MlflowArchiveError):
    """A signature or key is not accepted: there is none, or it is of somebody else."""

    exit_code = 14


class ServerError(MlflowArchiveError):
    """A tracking server could not be reached, is not an MLflow server, or refused.

    ``status`` is the HTTP status where there was an answer, ``error_code`` what MLflow itself calls the error.
    """

    exit_code = 13

    def __init__(self, message: str, *, status: int | None = None, error_code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code


class RemotePlaceError(MlflowArchiveError):
    """A bucket or web server where an archive lies could not be reached, or refused."""

    exit_code = 13


class StoreError(MlflowArchiveError):
    """A file store or database does not look like MLflow's."""


class TargetError(MlflowArchiveError):
    """What is written to refuses: disk full, no permission, name taken, archive in use."""


class MissingExtraError(MlflowArchiveError):
    """What was asked for needs packages that an extra of this project brings; the message names it."""


class MissingProgramError(MlflowArchiveError):
    """What was asked for needs a program that the system does not have; the message names it."""

    exit_code = 2


class SelectionError(MlflowArchiveError):
    """The caller asked for something that does not exist or cannot be combined."""

    exit_code = 2


class ElsewhereError(SelectionError):
    """What was asked for lies in the base of a delta, which was not given."""


class QueryError(SelectionError):
    """A SQL query that cannot be answered, with what DuckDB says: a place in it is marked on lines of their own."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What to print: the sentence, then the query's line and the mark below it, as they are."""
        return tuple(line.rstrip() for line in str(self).splitlines() if line.strip())


class ItemError(MlflowArchiveError):
    """One item could not be carried; the others can. Becomes a gap or a refusal, never lost."""

    exit_code = 3
