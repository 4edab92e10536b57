"""Changes of files: what is durable when, in which order, and what is said where the system refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.storage.files import Files, OutputFile
from tests.support.descriptors import open_descriptors, path_of

FILES = Files()


class Recorder:
    """The calls of ``os.fsync`` by the path of what was synced."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.error: int | None = None

    def fsync(self, descriptor: int) -> None:
        self.paths.append(path_of(descriptor))
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(os, "fsync", recorder.fsync)
    return recorder


def test_a_file_knows_its_size_while_it_is_written_and_patched(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old and longer")
    with FILES.create(path) as output:
        assert (output.path, output.size, output.tell()) == (path, 0, 0)
        assert output.write(b"abc") == 3
        assert output.write(memoryview(b"defg")) == 4
        assert (output.size, output.tell()) == (7, 7)
        output.patch(1, b"XY")
        assert output.tell() == 7
        output.write(b"h")
        output.flush()
        assert path.read_bytes() == b"aXYdefgh"
    output.close()
    with FILES.append(path, 5) as output:
        assert path.read_bytes() == b"aXYde"
        assert (output.size, output.tell(), output.path) == (5, 5, path)
        output.write(b"!")
    assert path.read_bytes() == b"aXYde!"


def test_a_sync_brings_the_bytes_to_the_file_and_the_file_to_the_medium(tmp_path: Path, synced: Recorder) -> None:
    with FILES.create(tmp_path / "f") as output:
        output.write(b"abc")
        output.sync()
        assert (tmp_path / "f").read_bytes() == b"abc"
    assert synced.paths == [tmp_path / "f"]


def test_a_small_file_is_synced_before_it_has_its_name_and_its_name_after(tmp_path: Path, synced: Recorder) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    FILES.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert synced.paths == [tmp_path / "f.tmp", tmp_path]
    assert list(tmp_path.iterdir()) == [path]


def test_a_published_file_replaces_what_has_its_name(tmp_path: Path, synced: Recorder) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "to" / "b").write_bytes(b"b")
    FILES.publish(tmp_path / "a", tmp_path / "to" / "b")
    assert (tmp_path / "to" / "b").read_bytes() == b"a"
    assert synced.paths == [tmp_path / "to"]


def test_directories_are_synced_from_above_each_in_the_one_that_names_it(tmp_path: Path, synced: Recorder) -> None:
    FILES.make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced.paths == [tmp_path, tmp_path / "a"]
    synced.paths.clear()
    FILES.make_directory(tmp_path / "a" / "b")
    assert synced.paths == []
    FILES.make_directories(tmp_path / "a", ["b", "c", "d"])
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b", "c", "d"]
    assert synced.paths == [tmp_path / "a"]
    synced.paths.clear()
    FILES.make_directories(tmp_path / "a", ["b", "c"])
    assert synced.paths == []
    FILES.make_directories(tmp_path / "new", ["x"])
    assert synced.paths == [tmp_path, tmp_path / "new"]
    FILES.make_entry(tmp_path / "a")


def test_what_is_removed_is_gone_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    (tree / "a" / "link").symlink_to(outside)
    (tmp_path / "link").symlink_to(outside)
    FILES.remove_tree(tree)
    FILES.remove_tree(tmp_path / "link")
    assert {path.name for path in tmp_path.rglob("*")} == {"outside", "file"}
    (tmp_path / "link").symlink_to(outside)
    FILES.remove(tmp_path / "link")
    FILES.remove(tmp_path / "not there")
    FILES.remove_tree(tmp_path / "not there")
    with pytest.raises(TargetError, match="Directory not empty"):
        FILES.remove(outside)
    FILES.remove(outside / "file")
    FILES.remove(outside)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM])
def test_a_file_system_that_syncs_no_directory_is_no_error(tmp_path: Path, synced: Recorder, code: int) -> None:
    synced.error = code
    before = open_descriptors()
    FILES.sync_directory(tmp_path)
    assert synced.paths == [tmp_path]
    assert open_descriptors() == before


def test_a_medium_that_fails_is_an_error(tmp_path: Path, synced: Recorder) -> None:
    synced.error = errno.EIO
    before = open_descriptors()
    with pytest.raises(OSError, match="Input/output error"):
        FILES.sync_directory(tmp_path)
    assert open_descriptors() == before
    with FILES.create(tmp_path / "f") as output, pytest.raises(TargetError) as caught:
        output.sync()
    assert str(caught.value) == f"{tmp_path / 'f'}: Input/output error"


FULL = (
    "the disk is full. Nothing that was committed before is lost; free some space and run the same command again, "
    "it continues"
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space"), FULL),
        (OSError(errno.EDQUOT, "Quota"), FULL),
        (OSError(errno.EROFS, "Read-only"), "cannot be written: Read-only"),
        (PermissionError(errno.EACCES, "Denied"), "cannot be written: Denied"),
        (OSError(errno.EIO, "Broken"), "Broken"),
        (OSError("no number"), "no number"),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        FILES.create,
        lambda path: FILES.append(path, 0),
        lambda path: FILES.publish(path, path),
        FILES.remove,
        FILES.make_entry,
    ],
    ids=["create", "append", "publish", "remove", "make_entry"],
)
def test_what_the_system_refuses_is_said_with_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str, change: Callable[[Path], Any]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    for name in ("open", "replace", "unlink", "mkdir"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(TargetError) as caught:
        change(tmp_path / "f")
    assert str(caught.value) == f"{tmp_path / 'f'}: {reason}"
    assert caught.value.__cause__ is error


class BrokenHandle:
    """A file whose medium is broken: nothing but ``tell`` and ``fileno`` works."""

    def tell(self) -> int:
        return 7

    def fileno(self) -> int:
        return -1

    def __getattr__(self, name: str) -> Callable[..., None]:
        def refuse(*_: object) -> None:
            raise OSError(errno.EIO, name)

        return refuse


@pytest.mark.parametrize(
    ("change", "refused"),
    [("write", "write"), ("patch", "seek"), ("flush", "flush"), ("sync", "flush"), ("close", "close")],
)
def test_a_file_on_a_broken_medium(tmp_path: Path, change: str, refused: str) -> None:
    handle: Any = BrokenHandle()
    output = OutputFile(tmp_path / "f", handle)
    assert output.size == 7
    arguments = {"write": (b"x",), "patch": (0, b"x")}.get(change, ())
    with pytest.raises(TargetError) as caught:
        getattr(output, change)(*arguments)
    assert str(caught.value) == f"{tmp_path / 'f'}: {refused}"
    assert output.size == 7


def test_after_a_failed_write_nothing_is_written_or_called_whole(tmp_path: Path) -> None:
    handle: Any = BrokenHandle()
    output = OutputFile(tmp_path / "f", handle)
    for expected in ("write", "an earlier write failed, nothing more is written"):
        with pytest.raises(TargetError) as caught:
            output.write(b"x")
        assert str(caught.value) == f"{tmp_path / 'f'}: {expected}"
    with pytest.raises(TargetError) as caught:
        output.sync()
    assert str(caught.value) == f"{tmp_path / 'f'}: an earlier write failed, the file is not whole"
