"""A delta beside its base, read as one archive, and what is refused to be one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError, MlflowArchiveError, SelectionError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.stored.joined import check_base, joined_members
from mlflow_archive.reader.stored.opening import OpenedManifest, open_members, read_manifest
from mlflow_archive.storage.members import Members

GOLDEN = Path(__file__).parents[1] / "golden"
DELTA, BASE = GOLDEN / "v1_4-delta.mlfa", GOLDEN / "v1-oddities.mlfa"
LISTING = {"manifest.json", "checksums.sha256"}


@pytest.fixture
def both() -> tuple[Members, OpenedManifest, Members, OpenedManifest]:
    base, delta = open_members(BASE), open_members(DELTA)
    return base, read_manifest(base), delta, read_manifest(delta)


Both = tuple[Members, OpenedManifest, Members, OpenedManifest]


def test_members_are_those_of_both(both: Both) -> None:
    base, of_base, delta, _ = both
    joined, opened = joined_members(*both)
    assert (joined.path, joined.distant, opened.problems) == (DELTA, False, ())
    assert opened.manifest.delta is None
    sizes = joined.sizes()
    members = {member.path: member for member in opened.manifest.members}
    copies = {f"manifests/{export:04d}.json" for export in range(1, opened.manifest.export_number + 1)}
    assert set(sizes) == members.keys() | LISTING | copies
    assert {path: sizes[path] for path in members} == {path: member.size for path, member in members.items()}
    for path, member in members.items():
        file = joined.open(path)
        assert (file.size, file.sha256()) == (member.size, member.sha256), path
    assert joined.open("manifest.json").read_at(0, sizes["manifest.json"]) == opened.data
    assert joined.open(sorted(copies)[-1]).read_at(0, len(opened.data)) == opened.data
    assert joined.open("manifests/0001.json").read_at(0, len(of_base.data)) == of_base.data
    joined.close()
    for members_of_one in (base, delta):
        with pytest.raises(MlflowArchiveError, match="closed"):
            members_of_one.open("manifest.json").read_at(0, 1)


def test_problems_of_both_are_told(both: Both) -> None:
    base, of_base, delta, of_delta = both
    problems = [DamagedError(text, code="E005") for text in ("of the base", "of the delta")]
    _, opened = joined_members(
        base, replace(of_base, problems=(problems[0],)), delta, replace(of_delta, problems=(problems[1],))
    )
    assert opened.problems == tuple(problems)


def refused(of_base: OpenedManifest, of_delta: OpenedManifest) -> str:
    with pytest.raises(SelectionError) as caught:
        check_base(Path("BASE"), of_base, Path("DELTA"), of_delta)
    return str(caught.value)


def test_only_a_delta_and_the_archive_that_it_was_made_of_are_one(both: Both) -> None:
    _, of_base, _, of_delta = both
    check_base(Path("BASE"), of_base, Path("DELTA"), of_delta)
    stated = of_delta.manifest.delta
    assert stated is not None
    assert refused(of_delta, of_base) == (
        f"DELTA is no delta but a whole archive ({of_base.archive_id}): it needs no base"
    )
    assert refused(of_delta, of_delta) == (
        f"BASE is a delta itself, of the archive {of_base.archive_id}: join it to that one first"
    )
    other = replace(of_delta, manifest=replace(of_delta.manifest, delta=replace(stated, base="0" * 64)))
    assert refused(of_base, other) == (
        f"DELTA is a delta of export {stated.export} of the archive {'0' * 64}, and BASE is {of_base.archive_id}, with "
        f"export {of_base.manifest.export_number}: give the one that it was made of; where there are deltas between "
        "the two, join them in their order"
    )


@pytest.mark.parametrize("what", ["members", "exports"])
def test_a_delta_states_what_its_base_has(both: Both, what: str) -> None:
    _, of_base, _, of_delta = both
    manifest = of_delta.manifest
    if what == "members":
        first, *rest = manifest.elsewhere
        manifest = replace(manifest, elsewhere=(replace(first, size=first.size + 1), *rest))
    else:
        first_export, *exports = manifest.exports
        manifest = replace(manifest, exports=(replace(first_export, tool="another"), *exports))
    with pytest.raises(DamagedError) as caught:
        check_base(Path("BASE"), of_base, Path("DELTA"), replace(of_delta, manifest=manifest))
    assert (caught.value.code, caught.value.member, str(caught.value)) == (
        *("E007", "manifest.json"),
        f"E007: DELTA states other {what} of its base {of_base.archive_id[:12]}… than this one has",
    )


def test_an_archive_is_opened_with_its_base() -> None:
    with open_archive(DELTA, base=BASE) as archive:
        assert (archive.path, archive.manifest.delta) == (DELTA, None)
    with pytest.raises(SelectionError, match="it needs no base"):
        open_archive(BASE, base=BASE)
