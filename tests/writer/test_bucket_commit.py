"""The commit of an export in a bucket, each answer by itself: who was first, what is damaged, what is left to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from obstore.store import MemoryStore

from mlflow_archive.errors import RemotePlaceError, TargetError
from mlflow_archive.format.checksums import checksums_text
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, README
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.format.manifest import Export, Manifest, Member, encode
from mlflow_archive.format.readme import README_TEXT
from mlflow_archive.storage.remote.store import ObjectRange, OtherObjectError, RemoteStore
from mlflow_archive.writer.bucket_commit import LostRaceError, commit_copy, complete, whole
from mlflow_archive.writer.target import readme_member

PLACE = RemotePlace("s3://box/x")
TEXT = README_TEXT.encode()
COPY = "manifests/0001.json"


def manifest_of(numbers: int, tool: str = "t", readme: Member | None = None) -> tuple[Manifest, bytes]:
    exports = tuple(
        Export(number=number, created_ms=1, tool=tool, source={}, selection={}, counts={}, gaps=0)
        for number in range(1, numbers + 1)
    )
    copies = (
        Member(path=f"manifests/{number:04d}.json", kind="manifest", export=number, size=1, sha256="0" * 64)
        for number in range(1, numbers)
    )
    manifest = Manifest(exports=exports, members=(readme or readme_member(1), *copies))
    return manifest, encode(manifest)


ONE, DATA = manifest_of(1)
TWO, LATER = manifest_of(2)


class Noted(RemoteStore):
    """A store in memory with the names that were written; some PUTs are refused as others were first."""

    def __init__(self) -> None:
        super().__init__(PLACE, MemoryStore())
        self.written: list[str] = []
        self.refused = 0
        self.lost = ""

    def put_new(self, name: str, data: bytes) -> None:
        if self.lost == "before":
            raise RemotePlaceError("no answer")
        super().put_new(name, data)
        if self.lost == "behind":
            raise RemotePlaceError("no answer")

    def put_instead(self, name: str, data: bytes, before: ObjectRange | None) -> None:
        if self.refused:
            self.refused -= 1
            raise OtherObjectError("somebody else")
        super().put_instead(name, data, before)
        self.written.append(name)

    def held(self) -> dict[str, bytes]:
        return {name: self.get(name, 0, 10**6).data for name in self.sizes()}


def test_the_copy_is_the_commit_and_one_s_own_is_known_by_its_bytes() -> None:
    store = Noted()
    commit_copy(store, ONE, DATA)
    commit_copy(store, ONE, DATA)
    assert store.held() == {COPY: DATA}
    other, data = manifest_of(1, "another")
    with pytest.raises(LostRaceError) as caught:
        commit_copy(store, other, data)
    assert str(caught.value) == (
        "s3://box/x: another writer has committed export 1 meanwhile, and nothing of this one counts; run it again "
        "with --append, and it adds what is new"
    )
    assert store.held() == {COPY: DATA}


@pytest.mark.parametrize(("lost", "held"), [("before", {}), ("behind", {COPY: DATA})])
def test_where_no_answer_came_the_key_is_read(lost: str, held: dict[str, bytes]) -> None:
    store = Noted()
    store.lost = lost
    if held:
        commit_copy(store, ONE, DATA)
    else:
        with pytest.raises(RemotePlaceError, match=r"^no answer$"):
            commit_copy(store, ONE, DATA)
    assert store.held() == held


def test_what_follows_from_a_commit_is_written_once() -> None:
    store = Noted()
    complete(store, ONE, DATA)
    expected = {README: TEXT, CHECKSUMS: checksums_text(ONE, DATA).encode(), MANIFEST: DATA}
    assert (store.held(), store.written) == (expected, [README, CHECKSUMS, MANIFEST])
    complete(store, ONE, DATA)
    assert store.written == [README, CHECKSUMS, MANIFEST]
    complete(store, TWO, LATER)
    assert store.held() == {**expected, CHECKSUMS: checksums_text(TWO, LATER).encode(), MANIFEST: LATER}
    assert store.written[3:] == [CHECKSUMS, MANIFEST]
    complete(store, ONE, DATA)
    assert store.written[5:] == []


def test_what_is_right_already_is_not_written_again() -> None:
    store = Noted()
    store.put(CHECKSUMS, checksums_text(ONE, DATA).encode())
    store.put(README, b"another")
    complete(store, ONE, DATA)
    assert (store.written, store.held()[README]) == ([README, MANIFEST], TEXT)


@pytest.mark.parametrize(
    "readme", [replace(readme_member(1), sha256="0" * 64), replace(readme_member(1), path="OTHER.txt")]
)
def test_a_readme_of_another_version_stays(readme: Member) -> None:
    store = Noted()
    manifest, data = manifest_of(1, readme=readme)
    complete(store, manifest, data)
    assert store.written == [CHECKSUMS, MANIFEST]


def test_a_state_that_others_change_is_read_again_and_not_for_ever() -> None:
    store = Noted()
    store.refused = 7
    complete(store, ONE, DATA)
    assert store.held()[MANIFEST] == DATA
    again = Noted()
    again.refused = 8
    with pytest.raises(TargetError) as caught:
        complete(again, ONE, DATA)
    assert str(caught.value) == (
        "s3://box/x: others keep writing manifest.json; the export is committed, and the next one completes it"
    )
    assert (again.refused, again.held()) == (0, {})


def test_nothing_is_written_over_what_is_damaged() -> None:
    for held, reason in (
        (b"{", r"s3://box/x is damaged \(E00\d: .+\); nothing is added to it. See what `verify` says"),
        (
            manifest_of(1, "another")[1],
            (
                r"s3://box/x is damaged \(E005: manifest.json differs from its copy\); nothing is added to it. "
                "See what `verify` says"
            ),
        ),
    ):
        store = Noted()
        store.put(MANIFEST, held)
        with pytest.raises(TargetError, match=f"^{reason}$"):
            complete(store, ONE, DATA)
        assert (store.written, store.held()) == ([], {MANIFEST: held})


def test_a_whole_object_an_empty_one_and_none() -> None:
    store = Noted()
    store.put("a", b"abc")
    store.put("empty", b"")
    found = whole(store, "a")
    assert found is not None
    assert (found.data, whole(store, "empty"), whole(store, "none")) == (b"abc", ObjectRange(b"", 0, None, {}), None)
