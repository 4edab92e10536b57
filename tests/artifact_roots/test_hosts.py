"""Folders of other machines over SFTP and FTP, on servers of this process."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

import asyncssh
import pytest

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError, Listing
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from tests.support.file_hosts import PASSWORD, USER, running_ftp, running_sftp
from tests.support.reading import content

FILES = {name: name.encode() for name in ("a b.txt", "ü/ö", "q?x", "star*", "a%41b", "hash#tag", "[x]", "deep/er/x")}
LARGE = bytes(range(256)) * (5 << 12)
WAYS = ("sftp", "ftp", "ftp without MLSD")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], str]]:
    """A folder, what each way to it is called as a URI, and the line of known_hosts."""
    folder = tmp_path_factory.mktemp("hosts")
    with (
        running_sftp(folder) as (sftp, line),
        running_ftp(folder) as ftp,
        running_ftp(folder, knows_mlsd=False) as old_ftp,
    ):
        uris = {
            "sftp": f"sftp://{USER}:{PASSWORD}@{sftp}",
            "ftp": f"ftp://{USER}:{quote(PASSWORD)}@{ftp}",
            "ftp without MLSD": f"ftp://{USER}:{quote(PASSWORD)}@{old_ftp}",
        }
        yield folder, uris, line


@pytest.fixture
def home(served: tuple[Path, dict[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose owner has met the SFTP server."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(served[2])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, served: tuple[Path, dict[str, str], str], home: Path) -> tuple[Path, str]:
    """A new folder, and its URI."""
    name = f"{request.node.name}".replace("[", "-").replace("]", "").replace(" ", "-")
    (served[0] / name).mkdir()
    return served[0] / name, f"{served[1][request.param]}/{name}"


def listed(roots: ArtifactRoots, uri: str) -> Listing:
    return roots.list(uri, owner_kind="run", owner_id="r")


def test_written_and_read(way: tuple[Path, str]) -> None:
    (folder, uri), roots = way, ArtifactRoots()
    files = {**FILES, "empty": b"", "large": LARGE}
    assert roots.is_empty(f"{uri}/run")
    for name, data in files.items():
        roots.write(f"{uri}/run", name, io.BytesIO(data))
    assert {path.relative_to(folder / "run").as_posix() for path in (folder / "run").rglob("*") if path.is_file()} == {
        *files
    }
    listing = listed(roots, f"{uri}/run")
    assert listing.gaps == []
    assert {file.path: content(file) for file in listing.files} == files
    assert [file.path for file in listing.files] == sorted(files)
    with listing.files[sorted(files).index("large")].open() as stream:
        stream.seek(len(LARGE) - 3)
        assert stream.read() == LARGE[-3:]


def test_looked_for_and_removed(way: tuple[Path, str]) -> None:
    (folder, uri), roots = way, ArtifactRoots()
    roots.write(uri, "a/b/c", io.BytesIO(b"1"))
    roots.write(uri, "a/d", io.BytesIO(b"2"))
    assert [roots.exists(uri, path) for path in ("a/b/c", "a/b", "a/x", "no/x")] == [True, True, False, False]
    roots.remove(uri, "a/b/c")
    assert [path.name for path in folder.rglob("*")] == ["a", "d"]
    assert listed(roots, f"{uri}/nothing/here") == Listing()


def test_a_folder_that_may_not_be_read_is_a_gap_and_not_empty(
    way: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, uri = way
    (folder / "open").mkdir()
    (folder / "open" / "x").write_bytes(b"1")
    (folder / "closed").mkdir()
    refuse(folder / "closed", monkeypatch)
    listing = listed(ArtifactRoots(), uri)
    assert [file.path for file in listing.files] == ["open/x"]
    assert [(gap.path, gap.code) for gap in listing.gaps] == [("closed", "G105")]


def refuse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the servers not list a folder, as they may not whose user is another; that of the tests may be root."""
    import os  # noqa: PLC0415

    real_scandir, real_listdir = os.scandir, os.listdir

    def refusing(real: Callable[[object], object]) -> Callable[[object], object]:
        def call(path: object = ".") -> object:
            if os.fsdecode(cast(str, path)) == str(folder):
                raise PermissionError(13, "Permission denied")
            return real(path)

        return call

    monkeypatch.setattr(os, "scandir", refusing(cast("Callable[[object], object]", real_scandir)))
    monkeypatch.setattr(os, "listdir", refusing(cast("Callable[[object], object]", real_listdir)))


def test_a_link_over_sftp_is_a_gap(served: tuple[Path, dict[str, str], str], home: Path) -> None:
    folder = served[0] / "links"
    folder.mkdir()
    (folder / "link").symlink_to("nowhere")
    (gap,) = listed(ArtifactRoots(), served[1]["sftp"] + "/links").gaps
    assert (gap.path, gap.code, gap.reason) == ("link", "G102", "it is a link, which is not followed")


def test_a_file_that_changed_or_is_gone(way: tuple[Path, str]) -> None:
    (folder, uri), roots = way, ArtifactRoots()
    for name in ("changed", "gone"):
        (folder / name).write_bytes(b"12")
    changed, gone = listed(roots, uri).files
    (folder / "changed").write_bytes(b"123")
    (folder / "gone").unlink()
    for file, code in ((changed, "G103"), (gone, "G101")):
        with pytest.raises(ArtifactUnreadableError) as caught:
            content(file)
        assert caught.value.code == code


def test_a_reader_that_breaks_off_leaves_nothing(way: tuple[Path, str]) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ArtifactUnreadableError("gone", code="G102")

    (folder, uri), roots = way, ArtifactRoots()
    with pytest.raises(ArtifactUnreadableError):
        roots.write(uri, "x", cast(BinaryIO, Broken()))
    assert list(folder.iterdir()) == []
    roots.write(uri, "x", io.BytesIO(b"1"))
    assert [path.name for path in folder.iterdir()] == ["x"]


def test_many_threads_write_into_one_new_folder(way: tuple[Path, str]) -> None:
    (folder, uri), roots = way, ArtifactRoots()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: roots.write(f"{uri}/a/b", str(name), io.BytesIO(b"1")), range(8)))
    assert sorted(path.name for path in (folder / "a/b").iterdir()) == [str(name) for name in range(8)]


def test_two_hosts_and_two_users_of_one_scheme_are_two_stores(
    served: tuple[Path, dict[str, str], str], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (served[0] / "same").write_bytes(b"1")
    with running_ftp(tmp_path / "other") as host:
        (tmp_path / "other" / "same").write_bytes(b"22")
        roots = ArtifactRoots()
        uris = (served[1]["ftp"], f"ftp://{USER}:{quote(PASSWORD)}@{host}")
        sizes = [[file.size for file in listed(roots, uri).files if file.path == "same"] for uri in (*uris, *uris)]
        assert sizes == [[1], [2], [1], [2]]
        (gap,) = listed(roots, uris[0].replace(USER, "eve")).gaps
        assert gap.code == "G105"


@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
def test_no_password_is_told(scheme: str, served: tuple[Path, dict[str, str], str], home: Path) -> None:
    roots = ArtifactRoots()
    host = served[1][scheme].rpartition("@")[2]
    for userinfo in (f"{USER}:s3cret", f"{USER}:s3/cret", f"{USER}:s3#cret", f"{USER}:s3@cret"):
        (gap,) = listed(roots, f"{scheme}://{userinfo}@{host}/x").gaps
        assert (gap.code, "s3" in gap.reason, "cret" in gap.reason) == ("G105", False, False), gap.reason
        with pytest.raises(ArtifactWriteError) as caught:
            roots.write(f"{scheme}://{userinfo}@{host}/x", "a", io.BytesIO(b""))
        assert ("s3" in str(caught.value), "cret" in str(caught.value)) == (False, False)
        assert caught.value.everywhere


def test_a_server_that_nobody_has_met_is_refused(served: tuple[Path, dict[str, str], str], home: Path) -> None:
    (home / ".ssh" / "known_hosts").unlink()
    (gap,) = listed(ArtifactRoots(), served[1]["sftp"]).gaps
    host, _, port = served[1]["sftp"].rpartition("@")[2].partition(":")
    assert f"not found in known_hosts; look at its key with `ssh -p {port} {host}`" in gap.reason
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (home / ".ssh" / "known_hosts").write_text(f"[{host}]:{port} {other}")
    (gap,) = listed(ArtifactRoots(), served[1]["sftp"]).gaps
    assert "its key is another than ~/.ssh/known_hosts has for it" in gap.reason


def test_host_user_and_key_of_the_configuration_of_ssh(home: Path, tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(home / ".ssh" / "work"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "x").write_bytes(b"1")
    with running_sftp(tmp_path / "files", keys={key.get_fingerprint()}) as (host, line):
        name, _, port = host.partition(":")
        (home / ".ssh" / "known_hosts").write_text(line)
        config = f"Host store\n HostName {name}\n Port {port}\n User {USER}\n IdentityFile {home}/.ssh/work\n"
        (home / ".ssh" / "config").write_text(config)
        listing = listed(ArtifactRoots(), "sftp://store")
        assert ([file.path for file in listing.files], listing.gaps) == (["x"], [])
