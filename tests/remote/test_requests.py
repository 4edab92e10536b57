"""What a refusal of a store is called, which requests open an archive, and how a large file is put there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from obstore import exceptions
from obstore.store import MemoryStore

from mlflow_archive.errors import DamagedError, MlflowArchiveError, NotAnArchiveError, RemotePlaceError
from mlflow_archive.format.layout import MANIFEST
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.storage.remote.members import BucketMembers, open_remote
from mlflow_archive.storage.remote.store import (
    NoObjectError,
    ObjectEntry,
    ObjectRange,
    OtherObjectError,
    RangeError,
    RemoteStore,
)
from tests.support.counted_store import CountedBucket
from tests.support.memory_source import MemoryOptions, export

PLACE = RemotePlace("s3://box/x")
WHERE = "s3://box/x/o"


class Refusing:
    """A store whose every request is refused."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, _: str) -> Callable[..., Any]:
        def refuse(*values: Any, **options: Any) -> Any:
            raise self.error

        return refuse


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError("gone"), NoObjectError, f"{WHERE} is not there: gone"),
        (FileNotFoundError("NoSuchBucket"), RemotePlaceError, f"{PLACE}: there is no such bucket: NoSuchBucket"),
        (
            FileNotFoundError("ContainerNotFound"),
            RemotePlaceError,
            f"{PLACE}: there is no such bucket: ContainerNotFound",
        ),
        (
            exceptions.PreconditionError("no"),
            OtherObjectError,
            f"{WHERE} was changed by somebody else meanwhile",
        ),
        (
            exceptions.AlreadyExistsError("no"),
            OtherObjectError,
            f"{WHERE} was changed by somebody else meanwhile",
        ),
        (
            exceptions.NotSupportedError("no ranges"),
            RemotePlaceError,
            f"{WHERE}: the server does not give out ranges of a file (no ranges); download it first",
        ),
        (exceptions.GenericError("status 416"), RangeError, f"{WHERE} is shorter than it was: status 416"),
        (
            ValueError("Range Not Satisfiable"),
            RangeError,
            f"{WHERE} is shorter than it was: Range Not Satisfiable",
        ),
        (OSError("StartTooLarge"), RangeError, f"{WHERE} is shorter than it was: StartTooLarge"),
        (
            exceptions.PermissionDeniedError("GET http://u:p@h/o?sig=1 denied"),
            RemotePlaceError,
            f"{WHERE} cannot be reached, or is refused: GET http://h/o denied",
        ),
    ],
)
def test_what_a_refusal_is_called(error: Exception, kind: type[Exception], message: str) -> None:
    store = RemoteStore(PLACE, Refusing(error))  # type: ignore[arg-type]
    for request in (
        lambda: store.get("o", 0, 1),
        lambda: store.stream("o", 0, 1),
        lambda: store.size("o"),
        lambda: store.sizes("o"),
        lambda: store.put("o", b""),
        lambda: store.put_new("o", b""),
        lambda: store.delete(["o", "p"]),
    ):
        with pytest.raises(RemotePlaceError) as caught:
            request()
        assert (type(caught.value), str(caught.value)) == (kind, message)
    with pytest.raises(RemotePlaceError) as all_of_it:
        store.sizes()
    assert str(all_of_it.value) == message.replace(WHERE, str(PLACE))


def test_a_stream_that_breaks_is_told_as_a_request_is() -> None:
    def broken(**_: Any) -> Any:
        yield b"x"
        raise exceptions.GenericError("cut")

    class Answer:
        meta: ClassVar = {"size": 9, "e_tag": '"1"'}
        stream = staticmethod(broken)

    class Store:
        @staticmethod
        def get(*_: Any, **__: Any) -> Answer:
            return Answer()

    stream = RemoteStore(PLACE, Store()).stream("o", 0, 9)  # type: ignore[arg-type]
    assert (stream.size, stream.tag, next(stream.blocks)) == (9, '"1"', b"x")
    with pytest.raises(RemotePlaceError) as caught:
        next(stream.blocks)
    assert str(caught.value) == f"{WHERE} cannot be reached, or is refused: cut"


def test_by_what_a_store_names_a_state() -> None:
    class Answer:
        def __init__(self, version: str | None) -> None:
            self.meta = {"size": 9, "e_tag": '"1"', "version": version}

        def bytes(self) -> bytes:
            return b"x"

    for version, named in (("7", {"e_tag": '"1"', "version": "7"}), (None, {"e_tag": '"1"'})):
        objects = SimpleNamespace(get=lambda *_, version=version, **__: Answer(version))
        answer = RemoteStore(PLACE, objects).get("o", 0, 1)  # type: ignore[arg-type]
        assert answer == ObjectRange(b"x", 9, '"1"', named)


def test_parts_of_a_file_are_as_large_as_their_number_asks_for(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Store:
        @staticmethod
        def put(name: str, data: Any, *, chunk_size: int) -> None:
            sizes.append(chunk_size)

    store = RemoteStore(PLACE, Store())  # type: ignore[arg-type]
    mib, part = 1024 * 1024, 8 * 1024 * 1024
    with (tmp_path / "large").open("wb") as file:
        file.truncate(9_000 * 10 * mib)
    with (tmp_path / "least").open("wb") as file:
        file.truncate(9_000 * (part - 1))
    store.put("o", tmp_path / "large")
    store.put("o", tmp_path / "least")
    store.put("o", b"small")
    assert sizes == [10 * mib + 1, part, part]


def test_an_object_is_put_in_place_of_the_state_that_was_read_and_of_no_other() -> None:
    store = RemoteStore(PLACE, MemoryStore())
    store.put_instead("o", b"one", None)
    read = store.get("o", 0, 9)
    store.put_instead("o", b"two", read)
    for before in (None, read):
        with pytest.raises(OtherObjectError) as caught:
            store.put_instead("o", b"three", before)
        assert str(caught.value) == f"{WHERE} was changed by somebody else meanwhile"
    assert store.get("o", 0, 9).data == b"two"
    assert [store.get("o", 0, 1, tag=tag).data for tag in (None, store.get("o", 0, 1).tag)] == [b"t", b"t"]
    with pytest.raises(OtherObjectError):
        store.get("o", 0, 1, tag=read.tag)
    with pytest.raises(OtherObjectError):
        store.stream("o", 0, 1, tag=read.tag)
    assert store.size("o") == 3


def test_a_state_without_a_name_is_put_in_place_of_any() -> None:
    store = RemoteStore(PLACE, MemoryStore())
    store.put("o", b"one")
    before = store.get("o", 0, 9)
    assert (before.data, before.size, dict(before.version)) == (b"one", 3, {"e_tag": before.tag})
    store.put("o", b"two")
    store.put_instead("o", b"three", type(before)(before.data, before.size, before.tag, {}))
    assert store.get("o", 1, 3).data == b"hre"
    store.delete([])
    store.put("a/p", b"12")
    entries = store.entries()
    assert entries == [ObjectEntry("a/p", 2, entries[0].modified), ObjectEntry("o", 5, entries[1].modified)]
    assert (store.sizes("a"), store.sizes()) == ({"a/p": 2}, {"a/p": 2, "o": 5})


def test_members_of_a_bucket(counted: CountedBucket) -> None:
    store = RemoteStore(PLACE, counted.objects)
    store.put("tables/runs/a", b"rows")
    members = BucketMembers(store)
    assert members.path == PLACE
    assert (members.sizes(), members.sizes()) == ({"tables/runs/a": 4},) * 2
    assert members.open("tables/runs/a") is members.open("tables/runs/a")
    for name, message in (("../x", "E015: '../x' is no member name"), ("y", f"E010: y is not in {PLACE}")):
        with pytest.raises(DamagedError) as caught:
            members.open(name)
        assert (str(caught.value), caught.value.member) == (message, name)
    members.close()
    with pytest.raises(MlflowArchiveError) as closed:
        members.open("tables/runs/a")
    assert str(closed.value) == f"{PLACE} is closed; open it again"


def test_which_form_lies_at_a_place(counted: CountedBucket, tmp_path: Path) -> None:
    """A name that ends in .mlfa is taken for a file first, any other for a folder; the other form is found, too."""
    export(tmp_path / "a", MemoryOptions(runs=1))
    export(tmp_path / "b.mlfa", MemoryOptions(runs=1))
    for folder, file in (("backup", "file.mlfa"), ("folder.mlfa", "single")):
        counted.upload(tmp_path / "a", folder)
        counted.upload(tmp_path / "b.mlfa", file)
        for name, first in ((folder, f"{folder}/{MANIFEST}"), (file, file)):
            counted.forget()
            members = open_remote(RemotePlace(f"s3://box/{name}"))
            assert (str(members.path), MANIFEST in members.sizes()) == (f"s3://box/{name}", True)
            asked = [request.name for request in counted.requests if request.verb == "get"]
            other = [] if name in ("backup", "file.mlfa") else [name if first != name else f"{name}/{MANIFEST}"]
            assert asked[: len(other) + 1] == [*other, first]
            members.close()
    for place in ("s3://box", "s3://box/none.mlfa", "s3://box/none"):
        with pytest.raises(NotAnArchiveError) as caught:
            open_remote(RemotePlace(place))
        reason = "there is no such object, and no manifest.json below it"
        assert str(caught.value) == f"E001: {place} is no archive: {reason}"


def test_an_export_that_has_its_copy_of_the_manifest_only_is_an_archive(counted: CountedBucket) -> None:
    counted.objects.put("x/manifests/0001.json", b"{}")
    members = open_remote(PLACE)
    assert members.sizes() == {"manifests/0001.json": 2}
