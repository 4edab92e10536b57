"""What each store promises that a commit stands on: a contract of S3, a stand-in of Google's, and obstore's memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_archive.format.location import RemotePlace
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.storage.remote.connecting import connect
from mlflow_archive.storage.remote.store import NoObjectError, OtherObjectError, RangeError, RemoteStore
from mlflow_archive.verification.checks import verify
from tests.remote.test_writing import FIRST, SECOND, export
from tests.support.google_storage import google_storage

LARGE = 9 * 1024 * 1024


@pytest.fixture(params=["memory", "s3", "gs"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemotePlace]:
    if request.param == "gs":
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "token")
        with google_storage() as url:
            monkeypatch.setenv("GOOGLE_BASE_URL", url)
            yield RemotePlace("gs://bucket/deep")
    elif request.param == "s3":
        yield RemotePlace(request.getfixturevalue("s3")[0])
    else:
        request.getfixturevalue("counted")
        yield RemotePlace("az://bucket/deep")


def store_at(place: RemotePlace) -> RemoteStore:
    store, _ = connect(place)
    return store


def test_a_key_is_written_once(place: RemotePlace) -> None:
    store = store_at(place)
    store.put_new("manifests/0001.json", b"one")
    with pytest.raises(OtherObjectError) as caught:
        store.put_new("manifests/0001.json", b"two")
    assert str(caught.value) == f"{place}/manifests/0001.json was changed by somebody else meanwhile"
    assert store.get("manifests/0001.json", 0, 10).data == b"one"


def test_a_state_is_replaced_once(place: RemotePlace) -> None:
    store = store_at(place)
    store.put_instead("manifest.json", b"one", None)
    first = store.get("manifest.json", 0, 10)
    store.put_instead("manifest.json", b"two", first)
    for before in (first, None):
        with pytest.raises(OtherObjectError):
            store.put_instead("manifest.json", b"three", before)
    assert store.get("manifest.json", 0, 10).data == b"two"
    with pytest.raises(OtherObjectError):
        store.get("manifest.json", 0, 10, tag=first.tag)


def test_ranges_and_listings(place: RemotePlace, tmp_path: Path) -> None:
    store = store_at(place)
    assert store.sizes() == {}
    (tmp_path / "large").write_bytes(bytes(LARGE if place.scheme == "s3" else 1000))
    store.put("packs/0001.zst", tmp_path / "large")
    store.put("empty", b"")
    size = (tmp_path / "large").stat().st_size
    assert store.sizes() == {"empty": 0, "packs/0001.zst": size}
    assert store.sizes("packs") == {"packs/0001.zst": size}
    assert store.size("packs/0001.zst") == size
    assert len(store.get("packs/0001.zst", size - 5, 100).data) == 5
    for name, position in (("packs/0001.zst", size), ("empty", 0)):
        with pytest.raises(RangeError):
            store.get(name, position, 1)
    with pytest.raises(NoObjectError):
        store.get("packs/0002.zst", 0, 1)
    store.delete(["empty", "packs/0001.zst"])
    assert store.sizes() == {}


def test_an_archive(place: RemotePlace) -> None:
    where = RemotePlace(f"{place}/backup")
    export(FIRST, place=where)
    export(SECOND, append=True, place=where)
    with open_archive(where) as archive:
        assert archive.manifest.export_number == 2
    assert verify(where).problems == []
