"""Commands that read an archive do so in a bucket and on a web server, and say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import DamagedError, NotAnArchiveError, RemotePlaceError
from mlflow_archive.format.location import RemotePlace, archive_place
from mlflow_archive.reader.archive import open_archive
from mlflow_archive_cli.main import run
from tests.support.counted_store import CountedBucket
from tests.support.memory_source import MemoryOptions, content, content_of, export, run_id
from tests.support.web_files import web_files

ONE = run_id(2)
READING = (
    ["info"],
    ["ls", "runs"],
    ["show", ONE],
    ["show", "--experiment", "digits"],
    ["history", ONE],
    ["cat", f"{ONE}/model/file 0.bin"],
    ["verify", "--level", "quick"],
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two exports in both forms."""
    folder = tmp_path_factory.mktemp("archives")
    paths = {"directory": folder / "backup", "file": folder / "my backup.mlfa"}
    for path in paths.values():
        export(path, MemoryOptions(runs=4))
        export(path, MemoryOptions(runs=6, changed=frozenset({1})), append=True)
    return paths


@pytest.mark.parametrize("form", ["directory", "file"])
def test_what_commands_say_is_what_they_say_of_the_copy_on_disk(
    archives: dict[str, Path],
    form: str,
    counted: CountedBucket,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    path = archives[form]
    uri = f"gs://bucket/{path.name}"
    counted.upload(path, path.name)
    for verb, *rest in READING:
        assert run([verb, str(path), *rest]) == 0
        expected = capsysbinary.readouterr().out
        assert run([verb, uri, *rest]) == 0
        assert capsysbinary.readouterr().out.replace(uri.encode(), str(path).encode()) == expected
    with open_archive(uri) as archive:
        assert content(archive) == content_of(path)


def test_what_takes_all_of_it(
    archives: dict[str, Path], counted: CountedBucket, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, uri = archives["directory"], "az://bucket/backup"
    counted.upload(path, "backup")
    query = "select run_id, count(*) from metrics group by 1 order by 1"
    assert run(["sql", str(path), query]) == 0
    expected = capsys.readouterr().out
    assert run(["sql", uri, query]) == 0
    assert capsys.readouterr().out == expected
    assert run(["diff", str(path), uri]) == 0
    assert run(["extract", uri, ONE, "--to", str(tmp_path / "files")]) == 0
    assert (tmp_path / "files" / "model" / "file 0.bin").stat().st_size == 300
    assert run(["report", uri, "-o", str(tmp_path / "report.html")]) == 0
    assert uri in (tmp_path / "report.html").read_text("utf-8")


def test_python_opens_a_bucket(archives: dict[str, Path], counted: CountedBucket) -> None:
    counted.upload(archives["file"], "deep/backup.mlfa")
    with ma.open("s3://bucket/deep/backup.mlfa") as archive:
        assert str(archive.path) == "s3://bucket/deep/backup.mlfa"
        assert archive.run(ONE).params == ma.open(archives["file"]).run(ONE).params


@pytest.mark.parametrize("form", ["directory", "file"])
def test_a_real_bucket(archives: dict[str, Path], form: str, s3: tuple[str, Any]) -> None:
    root, client = s3
    bucket, path = root.split("/")[2], archives[form]
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        key = f"deep/root/{file.relative_to(path.parent).as_posix()}"
        client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
    with open_archive(f"{root}/{path.name}") as archive:
        assert content(archive) == content_of(path)
    assert ma.verify(f"{root}/{path.name}").ok
    with pytest.raises(NotAnArchiveError) as none:
        open_archive(f"{root}/other")
    assert (
        str(none.value) == f"E001: {root}/other is no archive: there is no such object, and no manifest.json below it"
    )
    with pytest.raises(NotAnArchiveError, match=f"^E001: s3://{bucket} is no archive: there is no such object"):
        open_archive(f"s3://{bucket}")
    with pytest.raises(RemotePlaceError, match=r"^s3://not-there/x: there is no such bucket: "):
        open_archive("s3://not-there/x")


def test_a_web_server(archives: dict[str, Path]) -> None:
    asked: list[str] = []
    path = archives["file"]
    with web_files(path.parent, asked) as url:
        with open_archive(f"{url}/my%20backup.mlfa?key=secret") as archive:
            assert str(archive.path) == f"{url}/my%20backup.mlfa"
            assert content(archive) == content_of(path)
        assert set(asked) == {"/my%20backup.mlfa?key=secret"}
        with pytest.raises(NotAnArchiveError) as none:
            open_archive(f"{url}/other.mlfa?key=secret")
    assert str(none.value) == f"E001: {url}/other.mlfa is no archive: there is no such file on the server (404)"


def test_a_web_server_that_gives_no_ranges_is_said(archives: dict[str, Path]) -> None:
    with (
        web_files(archives["file"].parent, [], ranges=False) as url,
        pytest.raises(RemotePlaceError, match=r"does not give out ranges of a file .*; download it first"),
    ):
        open_archive(f"{url}/my%20backup.mlfa")


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(
    archives: dict[str, Path], counted: CountedBucket
) -> None:
    counted.upload(archives["file"], "backup.mlfa")
    data = archives["file"].read_bytes()
    with open_archive("s3://bucket/backup.mlfa") as archive:
        archive.members._ranges._objects.clear()  # type: ignore[attr-defined]
        counted.objects.put("backup.mlfa", data)
        with pytest.raises(RemotePlaceError) as caught:
            archive.table("runs")
    assert str(caught.value) == ("s3://bucket/backup.mlfa was replaced while it was read; run the same command again")


@pytest.mark.parametrize("form", ["directory", "file"])
def test_what_is_closed_is_not_read(archives: dict[str, Path], form: str, counted: CountedBucket) -> None:
    path = archives[form]
    counted.upload(path, path.name)
    with open_archive(f"s3://bucket/{path.name}") as archive:
        part = archive.open_part(archive.parts("metrics")[0])
    counted.forget()
    with pytest.raises(ma.MlflowArchiveError, match="the archive is closed"):
        part.read(0)
    assert counted.requests == []


def test_a_member_of_another_size_is_damage(archives: dict[str, Path], counted: CountedBucket) -> None:
    counted.upload(archives["directory"], "backup")
    name = "tables/runs/0001-00000.parquet"
    size = (archives["directory"] / name).stat().st_size
    for data, reason in (
        (b"short", f"{name} has 5 bytes, the manifest states {size}"),
        (bytes(size + 1), f"{name} has {size + 1} bytes, the manifest states {size}"),
    ):
        counted.objects.put(f"backup/{name}", data)
        with open_archive("s3://bucket/backup") as archive, pytest.raises(DamagedError) as caught:
            archive.table("runs")
        assert str(caught.value) == f"E011: {reason}"
    counted.objects.delete(f"backup/{name}")
    with open_archive("s3://bucket/backup") as archive, pytest.raises(DamagedError) as caught:
        archive.table("runs")
    assert str(caught.value) == f"E010: {name} is not in s3://bucket/backup"


@pytest.mark.parametrize(
    "arguments",
    [["sign", "URI", "--key", "k"], ["pack", "URI", "--to", "x"], ["serve", "URI"], ["repair", "URI", "-o", "x"]],
    ids=lambda arguments: arguments[0],
)
def test_a_command_for_this_machine_says_so(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    uri = "s3://bucket/backup"
    assert run([uri if text == "URI" else text for text in arguments]) == 2
    assert "'s3://bucket/backup' is a URL, and s3:// is not supported here: give a path on this machine" in " ".join(
        capsys.readouterr().err.split()
    )


def test_signatures_are_checked_beside_an_archive_on_this_machine(
    archives: dict[str, Path], counted: CountedBucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted.upload(archives["directory"], "backup")
    (tmp_path / "signers").write_text("")
    assert run(["verify", "s3://bucket/backup", "--signers", str(tmp_path / "signers")]) == 2
    assert capsys.readouterr().err == (
        "mlflow-archive: s3://bucket/backup: signatures are made and checked beside an archive on this machine; "
        "download both first\n"
    )


def test_places() -> None:
    place = archive_place("https://user:word@host/a%20b/x.mlfa?sig=1")
    assert isinstance(place, RemotePlace)
    assert (str(place), place.name, place.is_bucket) == ("https://host/a%20b/x.mlfa", "x.mlfa", False)
    assert (
        str(archive_place("abfss://box@account.dfs.core.windows.net/x")) == "abfss://box@account.dfs.core.windows.net/x"
    )
    assert archive_place("backup.mlfa") == Path("backup.mlfa")
    with pytest.raises(ma.MlflowArchiveError, match="ftp:// is not supported here"):
        archive_place("ftp://host/x.mlfa")
