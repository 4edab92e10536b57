"""Artifact roots of every kind: folders, moved ones, a server's proxied root, and a real S3 server."""

from __future__ import annotations

import io
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError, Listing
from mlflow_archive.artifact_roots.names import stays_below
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from tests.contracts.source_contract import example
from tests.support.mlruns import write_store
from tests.support.reading import content
from tests.support.restoring import content as content_of
from tests.support.restoring import export, restore

ODD = ["a b.txt", "ü/ö", "q?x", "star*", "a%41b", "hash#tag", "plus+and&", "[x]", "empty"]


def listed(roots: ArtifactRoots, uri: str) -> Listing:
    return roots.list(uri, owner_kind="run", owner_id="r")


def bytes_of(roots: ArtifactRoots, uri: str) -> dict[str, bytes]:
    found = listed(roots, uri)
    assert found.gaps == []
    return {file.path: content(file) for file in found.files}


class TestFolders:
    @pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
    def test_written_and_read(self, form: str, tmp_path: Path) -> None:
        roots = ArtifactRoots()
        uri = form.format(tmp_path / "root")
        for name in ODD:
            roots.write(uri, name, io.BytesIO(b"" if name == "empty" else name.encode()))
        assert bytes_of(roots, uri) == {name: b"" if name == "empty" else name.encode() for name in ODD}

    @pytest.mark.parametrize(
        "form", ["file:///C:/X", "file:C:/X", "file:/c:/X", r"C:\X", "C:/X", "file://localhost/C:/X"]
    )
    @pytest.mark.parametrize("given_form", ["file:///C:/X", "file:C:/X", "c:\\X\\", "C:/X/"])
    def test_a_folder_of_windows_is_one_in_every_spelling(self, form: str, given_form: str, tmp_path: Path) -> None:
        roots = ArtifactRoots(artifact_map=[(given_form, str(tmp_path))])
        assert roots.resolve(f"{form}/mlruns/1") == f"{tmp_path}/mlruns/1"
        assert roots.resolve("file:///D:/X/mlruns") == "file:///D:/X/mlruns"
        places = ArtifactPlaces(root=tmp_path, artifact_map=[(given_form, str(tmp_path))])
        assert places.mapped(f"{form}/mlruns/1") == [tmp_path / "mlruns" / "1"]

    def test_a_path_is_mapped_by_its_uri(self, tmp_path: Path) -> None:
        roots = ArtifactRoots(artifact_map=[("file:///gone", str(tmp_path))])
        assert [roots.resolve(uri) for uri in ("/gone/1", "file:/gone/1")] == [f"{tmp_path}/1"] * 2

    @pytest.mark.parametrize("form", ["art", "./art", "file:art"])
    def test_what_the_user_names_is_relative_to_the_current_folder(
        self, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in ("here/art", "base/art"):
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "x").write_bytes(folder.encode())
        monkeypatch.chdir(tmp_path / "here")
        base = tmp_path / "base"
        mapped = ArtifactRoots(artifact_map=[("/gone", form)], base=base)
        proxied = ArtifactRoots(artifacts_destination=form, base=base)
        mapped.check()
        proxied.check()
        monkeypatch.chdir(tmp_path)
        assert bytes_of(mapped, "/gone") == bytes_of(proxied, "mlflow-artifacts:/") == {"x": b"here/art"}
        assert bytes_of(mapped, "art") == {"x": b"base/art"}

    def test_percent_in_file_uris_is_decoded(self, tmp_path: Path) -> None:
        (tmp_path / "a b").mkdir()
        (tmp_path / "a b" / "x").write_bytes(b"1")
        assert bytes_of(ArtifactRoots(), f"file://{tmp_path}/a%20b") == {"x": b"1"}

    def test_percent_in_plain_paths_is_decoded_as_mlflow_does(self, tmp_path: Path) -> None:
        for name in ("a b", "c%20d"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x").write_bytes(b"1")
        assert bytes_of(ArtifactRoots(), f"{tmp_path}/a%20b") == {"x": b"1"}
        assert bytes_of(ArtifactRoots(base=tmp_path), "a%20b") == {"x": b"1"}
        assert bytes_of(ArtifactRoots(), f"{tmp_path}/c%20d") == {"x": b"1"}

    def test_relative_to_the_base(self, tmp_path: Path) -> None:
        (tmp_path / "mlruns").mkdir()
        (tmp_path / "mlruns" / "x").write_bytes(b"1")
        assert bytes_of(ArtifactRoots(base=tmp_path), "mlruns") == {"x": b"1"}
        assert bytes_of(ArtifactRoots(base=tmp_path), "./mlruns") == {"x": b"1"}

    def test_a_folder_that_is_not_there_holds_nothing(self, tmp_path: Path) -> None:
        assert listed(ArtifactRoots(), str(tmp_path / "none")) == Listing()

    @pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", ".", "a//b", "a\x00b", "\udcff"])
    def test_nothing_is_written_outside(self, path: str, tmp_path: Path) -> None:
        with pytest.raises(ArtifactWriteError) as caught:
            ArtifactRoots().write(str(tmp_path / "root"), path, io.BytesIO(b"x"))
        assert caught.value.code == "R107"
        assert list(tmp_path.iterdir()) == []

    @given(path=st.text(st.sampled_from("a./\\\x00 %"), max_size=8))
    def test_what_is_allowed_stays_below(self, path: str) -> None:
        if stays_below(path):
            root = Path("/srv/root")
            assert Path(os.path.normpath(root / path)).is_relative_to(root)
            assert Path(os.path.normpath(root / path)) != root

    def test_a_reader_that_breaks_off_leaves_nothing(self, tmp_path: Path) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                raise ArtifactUnreadableError("gone", code="G102")

        with pytest.raises(ArtifactUnreadableError):
            ArtifactRoots().write(str(tmp_path), "x", cast(BinaryIO, Broken()))
        assert list(tmp_path.iterdir()) == []


class TestElsewhere:
    def test_the_longest_map_counts_at_a_slash(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name / "3").mkdir(parents=True)
            (tmp_path / name / "3" / name).write_bytes(b"")
        pairs = [("s3://b/x", str(tmp_path / "one")), ("s3://b/x/y", str(tmp_path / "two"))]
        roots = ArtifactRoots(artifact_map=pairs)
        roots.check()
        assert set(bytes_of(roots, "s3://b/x/3")) == {"one"}
        assert set(bytes_of(roots, "s3://b/x/y/3")) == {"two"}
        assert roots.resolve("s3://b/xx/3") == "s3://b/xx/3"

    @pytest.mark.parametrize(
        ("uri", "is_given"), [("/here/1", True), ("/elsewhere/1", False), ("/here/../1", False), ("s3://b/1", True)]
    )
    def test_a_map_of_a_folder_to_itself_says_that_it_is_the_one(self, uri: str, is_given: bool) -> None:
        assert ArtifactRoots(artifact_map=[("/here", "/here")]).is_given(uri) is is_given

    @pytest.mark.parametrize(
        "uri",
        [
            "mlflow-artifacts:/1/r/artifacts",
            "mlflow-artifacts://host:5000/1/r/artifacts",
            "mlflow-artifacts:1/r/artifacts",
        ],
    )
    def test_behind_a_server(self, uri: str, tmp_path: Path) -> None:
        (tmp_path / "1/r/artifacts").mkdir(parents=True)
        (tmp_path / "1/r/artifacts/x").write_bytes(b"1")
        assert bytes_of(ArtifactRoots(artifacts_destination=str(tmp_path)), uri) == {"x": b"1"}
        (gap,) = listed(ArtifactRoots(), uri).gaps
        assert (gap.code, "--artifacts-destination" in gap.reason) == ("G105", True)

    @pytest.mark.parametrize(
        "uri", ["azureml://x/y", "hdfs://n/x", "C:\\mlruns\\0", "file:///C:/mlruns/0", "viewfs://u:pw@h/x"]
    )
    def test_out_of_reach_is_a_gap(self, uri: str) -> None:
        (gap,) = listed(ArtifactRoots(), uri).gaps
        assert (gap.code, "--artifact-map" in gap.reason, "pw" in gap.reason) == ("G105", True, False)

    def test_a_map_to_nothing_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SelectionError, match="there is no folder"):
            ArtifactRoots(artifact_map=[("/a", str(tmp_path / "none"))]).check()
        with pytest.raises(SelectionError, match="--artifacts-destination"):
            ArtifactRoots(artifacts_destination=str(tmp_path / "none")).check()


class TestS3:
    def test_written_and_read(self, s3: tuple[str, Any]) -> None:
        roots, (uri, client) = ArtifactRoots(), s3
        for name in ODD:
            roots.write(uri, name, io.BytesIO(b"" if name == "empty" else name.encode()))
        # Another root that begins alike, and a marker that stands for a folder.
        client.put_object(Bucket=uri.split("/")[2], Key="deep/root2/x", Body=b"other")
        client.put_object(Bucket=uri.split("/")[2], Key="deep/root/folder/", Body=b"")
        assert bytes_of(roots, uri) == {name: b"" if name == "empty" else name.encode() for name in ODD}

    def test_an_object_with_content_whose_key_ends_in_a_slash_is_a_gap(self, s3: tuple[str, Any]) -> None:
        roots, (uri, client) = ArtifactRoots(), s3
        for key, body in (("folder/", b""), ("full/", b"abc"), ("full/x", b"1")):
            client.put_object(Bucket=uri.split("/")[2], Key=f"deep/root/{key}", Body=body)
        listing = listed(roots, uri)
        assert [file.path for file in listing.files] == ["full/x"]
        assert [(gap.code, gap.path) for gap in listing.gaps] == [("G104", "full/")]

    def test_a_large_object_is_never_whole_in_memory(self, s3: tuple[str, Any]) -> None:
        roots, (uri, _) = ArtifactRoots(), s3
        size = 192 << 20
        tracemalloc.start()
        roots.write(uri, "large", cast(BinaryIO, io.BufferedReader(_Zeros(size))))
        (file,) = listed(roots, uri).files
        with file.open() as stream:
            read = 0
            while data := stream.read(1 << 20):
                read += len(data)
            stream.seek(size - 3)
            assert stream.read() == b"\0\0\0"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (file.size, read) == (size, size)
        assert peak < size / 2

    def test_an_object_that_changed(self, s3: tuple[str, Any]) -> None:
        roots, (uri, client) = ArtifactRoots(), s3
        roots.write(uri, "x", io.BytesIO(b"one"))
        (file,) = listed(roots, uri).files
        roots.write(uri, "x", io.BytesIO(b"longer"))
        with pytest.raises(ArtifactUnreadableError) as caught:
            content(file)
        assert caught.value.code == "G103"
        client.delete_object(Bucket=uri.split("/")[2], Key="deep/root/x")
        with pytest.raises(ArtifactUnreadableError) as caught:
            content(file)
        assert caught.value.code == "G101"

    def test_an_empty_root_and_a_bucket_that_is_not_there(self, s3: tuple[str, Any]) -> None:
        roots, (uri, _) = ArtifactRoots(), s3
        assert listed(roots, uri) == Listing()
        for _ in range(2):
            (gap,) = listed(roots, "s3://no-such-bucket/x").gaps
            assert gap.code == "G105"
            assert "no-such-bucket" in gap.reason
        assert listed(roots, uri) == Listing()
        with pytest.raises(ArtifactWriteError, match="no-such-bucket"):
            roots.write("s3://no-such-bucket/x", "a", io.BytesIO(b""))

    def test_a_server_out_of_reach_is_asked_once(self, s3: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:1")
        roots = ArtifactRoots()
        assert listed(roots, s3[0]).gaps[0].code == "G105"
        began = time.monotonic()
        for _ in range(50):
            assert listed(roots, s3[0]).gaps[0].code == "G105"
        assert time.monotonic() - began < 0.5

    def test_a_database_whose_artifacts_are_there(self, s3: tuple[str, Any], tmp_path: Path) -> None:
        """Restored into a bucket, exported from it, every byte the same."""
        write_store(example(""), tmp_path / "mlruns")
        archive = export(str(tmp_path / "mlruns"), tmp_path / "a.mlfa")
        database = f"sqlite:///{tmp_path / 'mlflow.db'}"
        assert restore(archive, database, artifact_root=s3[0]).gaps == []
        again = export(database, tmp_path / "b.mlfa")
        assert content_of(again)["artifacts"] == content_of(archive)["artifacts"]
        assert sum(content_of(again)["artifacts"].values()) == 3


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._left)
        buffer[:size] = bytes(size)
        self._left -= size
        return size
