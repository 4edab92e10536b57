"""How a stream of age ends: with the error of who reads or writes it, by an interrupt, or with a reason of its own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any

import pytest

from mlflow_archive.errors import MissingExtraError
from mlflow_archive.packing import encryption
from mlflow_archive.packing.encryption import (
    NotDecryptableError,
    check_encryption,
    decrypt,
    encrypt,
    opens,
)
from mlflow_archive.packing.parity import program


class Failing(io.BytesIO):
    """Fails to be read from, or to be written to, from a call of a number on."""

    def __init__(self, data: bytes, calls: int) -> None:
        super().__init__(data)
        self.calls = calls

    def _call(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise BlockingIOError("the medium is gone")

    def read(self, size: int | None = -1) -> bytes:
        self._call()
        return super().read(size)

    def write(self, data: Any) -> int:
        self._call()
        return super().write(data)


@pytest.fixture(scope="module")
def keys() -> tuple[list[Any], list[Any]]:
    """For whom to encrypt, and the key that opens it."""
    identity = encryption._pyrage().x25519.Identity.generate()
    return [identity.to_public()], [identity]


def encrypted(data: bytes, recipients: Sequence[Any]) -> bytes:
    output = io.BytesIO()
    encrypt(io.BytesIO(data), output, recipients)
    return output.getvalue()


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
def test_what_is_encrypted_comes_back(keys: tuple[list[Any], list[Any]], size: int) -> None:
    data, output = bytes(size), io.BytesIO()
    secret = encrypted(data, keys[0])
    decrypt(io.BytesIO(secret), output, keys[1])
    assert output.getvalue() == data
    assert opens(io.BytesIO(secret), keys[1])
    assert len(secret) <= encryption.encrypted_size(size, 1)


def test_errors_of_reader_and_writer_keep_their_class(keys: tuple[list[Any], list[Any]]) -> None:
    secret = encrypted(bytes(200_000), keys[0])
    works: list[Callable[[], None]] = [
        lambda: encrypt(Failing(bytes(200_000), 1), io.BytesIO(), keys[0]),
        lambda: encrypt(io.BytesIO(bytes(200_000)), Failing(b"", 1), keys[0]),
        lambda: decrypt(Failing(secret, 1), io.BytesIO(), keys[1]),
        lambda: decrypt(io.BytesIO(secret), Failing(b"", 1), keys[1]),
    ]
    for work in works:
        with pytest.raises(BlockingIOError, match=r"^the medium is gone$"):
            work()


def test_another_key_and_a_damaged_stream_are_told_apart(keys: tuple[list[Any], list[Any]]) -> None:
    secret, other = encrypted(bytes(200_000), keys[0]), [encryption._pyrage().x25519.Identity.generate()]
    damaged = secret[:-1] + bytes([secret[-1] ^ 1])
    for stream, identities, in_header, reason in (
        (secret, other, True, "No matching keys found"),
        (damaged, keys[1], False, "decryption error"),
    ):
        with pytest.raises(NotDecryptableError) as refused:
            decrypt(io.BytesIO(stream), io.BytesIO(), identities)
        assert (str(refused.value), refused.value.in_header) == (reason, in_header)
    assert [opens(io.BytesIO(stream), identities) for stream, identities in ((secret, other), (damaged, keys[1]))] == [
        *(False, True)
    ]
    assert opens(io.BytesIO(encrypted(b"", keys[0])), keys[1])


def test_an_interrupt_ends_the_work_at_its_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []

    class Endless:
        def read(self, size: int) -> bytes:
            reads.append(size)
            return b"x"

    def interrupted(working: Sequence[Future[Any]]) -> None:
        wait_for(working, timeout=0.02)
        raise KeyboardInterrupt

    def work(reader: Any, writer: Any, given: Sequence[Any]) -> None:
        while reader.read(1) and len(reads) < 10**7:
            writer.write(b"y")

    monkeypatch.setattr(encryption, "wait", interrupted)
    keeping = encryption._Keeping(Endless(), io.BytesIO())
    with pytest.raises(KeyboardInterrupt):
        keeping.run(work, [])
    assert isinstance(keeping.error, encryption._AbandonedError)
    assert 0 < len(reads) < 10**7


@pytest.mark.parametrize(
    ("package", "action", "purpose"),
    [("pyrage", lambda: check_encryption("x"), "encryption"), ("par2.cli", program, "parity")],
)
def test_what_an_extra_brings_is_missed_by_name(
    package: str, action: Callable[[], object], purpose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as missing:
        action()
    assert str(missing.value).startswith(f"{purpose} needs more packages: pip install 'mlflow-archive[road]' (")
