"""Encryption by age, through pyrage: for whom, with which key, and streams of any size.

pyrage turns whatever a reader or writer raises into an error of its own, with its text alone; here it keeps its class
and number. Damage and a wrong key are told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

from mlflow_archive.errors import KeyRefusedError, SelectionError
from mlflow_archive.optional import needing

_AGE_CHUNK: Final = 64 * 1024
_SECRET: Final = b"AGE-SECRET-KEY-"
_ENCRYPTED: Final = (b"age-encryption.org/v1", b"-----BEGIN AGE ENCRYPTED FILE-----")
_MAX_KEY_FILE: Final = 2**20

Passphrase = Callable[[], str]
"""Gives a passphrase, perhaps by asking somebody; called only where one is needed."""


class Readable(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end only."""


class Writable(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int:
        """Take all of the bytes and return how many they are."""


class NotDecryptableError(Exception):
    """A stream that no key at hand opens, or that is not as age wrote it. ``in_header`` tells where it was seen."""

    def __init__(self, message: str, *, in_header: bool) -> None:
        super().__init__(message)
        self.in_header = in_header


def _pyrage() -> ModuleType:
    with needing("road", "encryption"):
        import pyrage  # noqa: PLC0415 - an extra
    module: ModuleType = pyrage
    return module


def encrypted_size(size: int, recipients: int) -> int:
    """Return about how many bytes age makes of so many: never fewer."""
    return size + 16 * (size // _AGE_CHUNK + 1) + 512 * recipients + 512


def read_recipients(texts: Sequence[str]) -> list[Any]:
    """Return for whom to encrypt: ``age1…``, ``ssh-ed25519 …``, ``ssh-rsa …``, or a file with a line for each.

    Raises SelectionError for anything else, and MissingExtraError.
    """
    recipients = [recipient for text in texts for recipient in _recipients_of(text)]
    if texts and not recipients:
        raise SelectionError(f"there is no recipient in {', '.join(texts)}")
    return recipients


def _recipients_of(text: str) -> list[Any]:
    if text.startswith(("age1", "ssh-")):
        return [_recipient(text, text)]
    data = _key_file(Path(text), "a recipient (age1…, ssh-ed25519 …, or a file of these)")
    if _SECRET in data or b"PRIVATE KEY" in data:
        raise SelectionError(f"{text} holds a private key: give the public one, which age-keygen -y or a .pub file has")
    lines = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    return [_recipient(line, f"{text}: {line}") for line in lines if line and not line.startswith("#")]


def _recipient(line: str, place: str) -> Any:
    pyrage = _pyrage()
    kinds = {"age1tag1": pyrage.tag, "age1tagpq1": pyrage.tagpq, "age1": pyrage.x25519, "ssh-": pyrage.ssh}
    for start, kind in kinds.items():
        if line.startswith(start):
            try:
                return kind.Recipient.from_str(line)
            except pyrage.RecipientError as error:
                raise SelectionError(f"{place!r} is no recipient that age knows: {error}") from error
    raise SelectionError(f"{place!r} is no recipient: age1…, ssh-ed25519 … or ssh-rsa … are")


def _key_file(path: Path, kind: str) -> bytes:
    try:
        if not path.is_file():
            raise SelectionError(f"{path} is neither {kind} nor a file")
        with path.open("rb") as file:
            return file.read(_MAX_KEY_FILE)
    except OSError as error:
        raise SelectionError(f"{path} cannot be read: {error.strerror}") from error


def check_encryption(passphrase: str) -> None:
    """Raise SelectionError for an empty passphrase, MissingExtraError where there is no encryption."""
    if not passphrase:
        raise SelectionError("the passphrase is empty")
    _pyrage()


def fresh_identity(passphrase: str) -> tuple[Any, bytes]:
    """Return a new recipient, and the bytes of a file with its key, which age opens with the passphrase."""
    pyrage = _pyrage()
    identity = pyrage.x25519.Identity.generate()
    protected: bytes = pyrage.passphrase.encrypt(f"{identity}\n".encode(), passphrase)
    return identity.to_public(), protected


def read_identities(paths: Sequence[Path], passphrase: Passphrase) -> list[Any]:
    """Return the keys in some files: of age, of SSH, or of age under a passphrase.

    Raises SelectionError for a file that cannot be read, KeyRefusedError for one without a usable key or with another
    passphrase, MissingExtraError.
    """
    return [key for path in paths for key in _identities_of(_key_file(path, "a key"), path, passphrase)]


def _identities_of(data: bytes, path: Path, passphrase: Passphrase) -> list[Any]:
    pyrage = _pyrage()
    if data.startswith(_ENCRYPTED):
        try:
            data = pyrage.passphrase.decrypt(data, passphrase())
        except pyrage.DecryptError as error:
            raise KeyRefusedError(f"{path}: this is not its passphrase, or the file is damaged ({error})") from error
    try:
        if b"PRIVATE KEY" in data:
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.splitlines()]
        keys = [pyrage.x25519.Identity.from_str(line.decode("ascii")) for line in lines if line.startswith(_SECRET)]
    except (pyrage.IdentityError, ValueError) as error:
        raise KeyRefusedError(f"{path}: its key cannot be used: {error}") from error
    if not keys:
        raise KeyRefusedError(
            f"{path} holds no key: one of age begins with AGE-SECRET-KEY-, one of SSH with -----BEGIN"
        )
    return keys


class _AbandonedError(Exception):
    """Nobody waits for the rest of a stream."""


class _Keeping:
    """A reader and a writer that remember what they raise, as pyrage tells only its text."""

    def __init__(self, reader: Readable, writer: Writable) -> None:
        self._reader, self._writer = reader, writer
        self.error: BaseException | None = None
        self._stopped = False

    def run(self, work: Callable[[Any, Any, Sequence[Any]], object], keys: Sequence[Any]) -> None:
        """Let pyrage do its work in a thread of its own.

        An interrupt comes to the main thread, between two calls of pyrage as well, which takes it for a fault of the
        stream. So the main thread only waits, and the next call ends the work.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="age") as pool:
            working = pool.submit(work, self, self, keys)
            try:
                wait([working])
            finally:
                self._stopped = True
        working.result()

    def _go_on(self) -> None:
        if self._stopped:
            raise _AbandonedError  # an InterruptedError it would answer by writing again, for ever

    def read(self, size: int) -> bytes:
        try:
            self._go_on()
            return self._reader.read(size)
        except BaseException as error:
            self.error = error
            raise

    def write(self, data: bytes) -> int:
        try:
            self._go_on()
            return self._writer.write(data)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Hold nothing back."""


def encrypt(reader: Readable, writer: Writable, recipients: Sequence[Any]) -> None:
    """Encrypt a stream. Raises what the reader and the writer raise."""
    streams = _Keeping(reader, writer)
    try:
        streams.run(_pyrage().encrypt_io, recipients)
    except Exception:
        if streams.error is not None:
            raise streams.error from None
        raise


def decrypt(reader: Readable, writer: Writable, identities: Sequence[Any]) -> None:
    """Decrypt a stream. Raises NotDecryptableError, and what the reader and the writer raise.

    All that is written before an error is genuine, but not all of it.
    """
    pyrage, streams = _pyrage(), _Keeping(reader, writer)
    try:
        streams.run(pyrage.decrypt_io, identities)
    except (pyrage.DecryptError, OSError) as error:
        if streams.error is not None:
            raise streams.error from None
        raise NotDecryptableError(str(error), in_header=isinstance(error, pyrage.DecryptError)) from error


class _OpenedError(Exception):
    """Something was decrypted: that is all that was to be known."""


class _Unwritten:
    def write(self, _: bytes) -> int:
        raise _OpenedError


def opens(reader: Readable, identities: Sequence[Any]) -> bool:
    """Return whether one of the keys opens a stream whose header is whole; of what follows, little is read."""
    try:
        decrypt(reader, _Unwritten(), identities)
    except _OpenedError:
        return True
    except NotDecryptableError as error:
        return not error.in_header
    return True
