"""Locations: no archive states a password that was in a URI, and spellings of one place are one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.location import (
    RemotePlace,
    archive_place,
    below,
    canonical,
    local_path,
    windows_path,
    without_password,
)


@pytest.mark.parametrize(
    ("uri", "stated"),
    [
        ("https://ada:secret@example.com/x?y=1", "https://example.com/x?y=1"),
        ("https://example.com/x@y", "https://example.com/x@y"),
        ("abfss://container@account.dfs.core.windows.net/x", "abfss://container@account.dfs.core.windows.net/x"),
        ("http://[broken", "http://[broken"),
        ("https://a:b@c:d@h/x", "https://h/x"),
        ("https://a:@h/x#f", "https://h/x#f"),
        ("sftp://a:b/c@h:22/x", "sftp://h:22/x"),
        ("ftp://a:b#c@d@h/x", "ftp://h/x"),
        ("postgresql://a:b?c@h/x", "postgresql://h/x"),
        ("sftp://a:[b@h/x", "sftp://h/x"),
        ("sftp://a:b%2Fc@h:22/x@y", "sftp://h:22/x@y"),
        ("r2://bucket@id.r2.cloudflarestorage.com/x", "r2://bucket@id.r2.cloudflarestorage.com/x"),
        ("abfss://a:b@account.dfs.core.windows.net:port/x", "abfss://account.dfs.core.windows.net:port/x"),
    ],
)
def test_user_and_password_are_taken_off(uri: str, stated: str) -> None:
    assert without_password(uri) == stated


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("file:///data/my%20runs/", "/data/my runs"),
        ("FILE:/data/../x", "/x"),
        ("file://host/a", "/a"),
        ("file:", "/"),
        ("file://", "/"),
        ("file:///", "/"),
        ("mlflow-artifacts://host:5000/1/a%20b/", "mlflow-artifacts:/1/a%20b"),
        ("mlflow-artifacts:/1", "mlflow-artifacts:/1"),
        ("mlflow-artifacts://host", "mlflow-artifacts:"),
        ("s3://Bucket/a/../b/", "s3://Bucket/a/../b"),
        ("s3://Bucket/X", "s3://Bucket/X"),
        ("https://u:p@h/x/", "https://h/x"),
        ("./a//b/", "a/b"),
        ("a/b:c", "a/b:c"),
        ("a/./b:c", "a/b:c"),
        (":a/../b", "b"),
        ("", "/"),
        ("/", "/"),
    ],
)
def test_a_location_in_the_one_form_in_which_it_is_compared(uri: str, place: str) -> None:
    assert canonical(uri) == place


@pytest.mark.parametrize(
    ("uri", "root", "path"),
    [
        ("/a/b/c/", "/a/b/", "c"),
        ("/a/b", "file:///a/b", ""),
        ("/a/bc", "/a/b", None),
        ("/a", "/", "a"),
        ("/", "/a", None),
        ("s3://b/x/y", "s3://b/x", "y"),
        ("s3://b/x//y", "s3://b/x", "y"),
        ("s3://b/X/XyX", "s3://b/X", "XyX"),
        ("s3://c/x", "s3://b", None),
        ("s3://b/Xy", "s3://b/X", None),
    ],
)
def test_a_location_below_another(uri: str, root: str, path: str | None) -> None:
    assert below(uri, root) == path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("c:/x", "C:/x"),
        (r"c:\x\y", "C:/x/y"),
        ("file:///c:/a%20b", "C:/a b"),
        ("c:/a%20b", "C:/a%20b"),
        ("FILE://localhost/d:/x", "D:/x"),
        ("file:c:/x", "C:/x"),
        ("file://host/c:/x", None),
        ("cd:/x", None),
        ("c:x", None),
        ("/x/c:/y", None),
        ("s3://c:/x", None),
        ("", None),
    ],
)
def test_a_path_with_a_drive(uri: str, path: str | None) -> None:
    assert windows_path(uri) == path


def test_a_url_is_no_path() -> None:
    with pytest.raises(SelectionError) as caught:
        local_path("s3://u:p@b/x")
    assert str(caught.value) == (
        "'s3://b/x' is a URL, and s3:// is not supported here: give a path on this machine, and copy what lies "
        "there, or what is written, with the tools of that place"
    )
    for text in ("c:/x", "a/s3://b", "a:b", "1a:/b", "ab:x"):
        assert local_path(text) == Path(text)
    assert local_path(Path("/x")) == Path("/x")
    with pytest.raises(SelectionError, match=r"ab:// is not"):
        local_path("ab:/x")


@pytest.mark.parametrize(
    ("uri", "shown", "name", "is_bucket", "is_web"),
    [
        ("s3://b/a?b#c", "s3://b/a?b#c", "a?b#c", True, False),
        ("S3://u:p@b/x/", "s3://b/x/", "x", True, False),
        ("https://u:p@h/a/b.mlfa?sig=x?y#z", "https://h/a/b.mlfa", "b.mlfa", False, True),
        ("http://h/a#b?c", "http://h/a", "a", False, True),
        ("ftp://h/a", "ftp://h/a", "a", False, False),
    ],
)
def test_a_place_is_shown_without_what_may_be_secret(
    uri: str, shown: str, name: str, is_bucket: bool, is_web: bool
) -> None:
    place = RemotePlace(uri)
    assert (str(place), repr(place), place.name) == (shown, f"RemotePlace({shown!r})", name)
    assert (place.is_bucket, place.is_web) == (is_bucket, is_web)


def test_where_an_archive_lies() -> None:
    place = RemotePlace("s3://b/x")
    assert (archive_place(place), archive_place("s3://b/x")) == (place, place)
    assert (archive_place("a/b"), archive_place(Path("c:/x"))) == (Path("a/b"), Path("c:/x"))
    for text in ("ftp://h/x", "s3:/b/x"):
        with pytest.raises(SelectionError) as caught:
            archive_place(text)
        assert str(caught.value) == (
            f"{text!r} is a URL, and {text.partition(':')[0]}:// is not supported here: give a path on this machine, "
            "s3://, gs://, az://, abfss://, https://"
        )
