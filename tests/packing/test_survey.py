"""What is found of a set in a folder: what lies there as it was, under another name, swapped, damaged or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.packing.survey import Finding, Survey, VolumeState, places_by_size, sets_in, strangers, survey
from mlflow_archive.packing.volumes import SetFile, SetRecord
from tests.spec.drafts import sha

BASE, OTHER = "a-0123abcd", "b-0123abcd"
FIRST, SECOND, THIRD = (f"{BASE}.mlfa.00{number}" for number in (1, 2, 3))
CONTENTS = {FIRST: b"1" * 2000, SECOND: b"2" * 2000, THIRD: b"3" * 10, "README.txt": b"read me"}


def file(name: str) -> SetFile:
    return SetFile(name=name, size=len(CONTENTS[name]), sha256=sha(CONTENTS[name]))


RECORD = SetRecord(
    base=BASE,
    archive_id="0" * 64,
    archive_size=4010,
    encrypted=False,
    volumes=tuple(map(file, (FIRST, SECOND, THIRD))),
    beside=(file("README.txt"),),
)
FILES = (*RECORD.volumes, *RECORD.beside)
SWAPPED, RENAMED = VolumeState.SWAPPED, VolumeState.RENAMED


def surveyed(folder: Path, changes: dict[str, bytes | None]) -> Survey:
    """Write the set with some files changed, others beside them, or gone (None), and look at it."""
    for name, data in {**CONTENTS, **changes}.items():
        if data is not None:
            (folder / name).write_bytes(data)
    return survey(RECORD, folder)


@pytest.mark.parametrize(
    ("changes", "moved", "findings"),
    [
        ({}, {}, []),
        ({FIRST: None}, {FIRST: None}, [(FIRST, VolumeState.MISSING, "")]),
        ({FIRST: b"1" * 1999}, {FIRST: None}, [(FIRST, VolumeState.CUT_OFF, "it has 1,999 of 2,000 bytes")]),
        ({FIRST: b"1" * 2001}, {FIRST: None}, [(FIRST, VolumeState.DAMAGED, "it has 2,001 bytes in place of 2,000")]),
        ({FIRST: b"X" * 2000}, {FIRST: None}, [(FIRST, VolumeState.DAMAGED, "")]),
        (
            {FIRST: CONTENTS[SECOND], SECOND: CONTENTS[FIRST]},
            {FIRST: SECOND, SECOND: FIRST},
            [
                (FIRST, SWAPPED, f"it holds what belongs into {SECOND}"),
                (SECOND, SWAPPED, f"it holds what belongs into {FIRST}"),
            ],
        ),
        ({THIRD: None, "x": CONTENTS[THIRD]}, {THIRD: "x"}, [(THIRD, RENAMED, "it is x now")]),
        ({"README.txt": None, "y": b"read mE"}, {"README.txt": None}, [("README.txt", VolumeState.MISSING, "")]),
        (
            {f"{OTHER}.mlfa.001": b"other", THIRD: b""},
            {THIRD: None},
            [
                (THIRD, VolumeState.CUT_OFF, "it has 0 of 10 bytes"),
                (f"{OTHER}.mlfa.001", VolumeState.OF_ANOTHER_SET, OTHER),
            ],
        ),
        (
            {f"{OTHER}.mlfa.001": CONTENTS[THIRD], THIRD: None},
            {THIRD: f"{OTHER}.mlfa.001"},
            [(THIRD, RENAMED, f"it is {OTHER}.mlfa.001 now")],
        ),
    ],
    ids=[
        *("whole", "gone", "cut off", "longer", "damaged", "swapped", "renamed", "no more", "another set"),
        "renamed as of another set",
    ],
)
def test_each_file_is_as_it_was_or_has_a_finding(
    tmp_path: Path,
    changes: dict[str, bytes | None],
    moved: dict[str, str | None],
    findings: list[tuple[str, VolumeState, str]],
) -> None:
    condition = surveyed(tmp_path, changes)
    names = {**{name: name for name in CONTENTS}, **moved}
    assert condition.places == {name: tmp_path / place for name, place in names.items() if place is not None}
    assert condition.findings == [Finding(name=name, state=state, detail=detail) for name, state, detail in findings]
    assert [lacking.name for lacking in condition.lacking(FILES)] == [name for name in CONTENTS if names[name] is None]


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, True),
        ({FIRST: b"X" * 2000}, True),
        ({FIRST: b"1"}, False),
        ({FIRST: None}, False),
        ({"README.txt": b"READ ME"}, False),
    ],
)
def test_volumes_are_taken_by_their_size_and_the_rest_by_its_hash(
    tmp_path: Path, changes: dict[str, bytes | None], whole: bool
) -> None:
    surveyed(tmp_path, changes)
    expected = {name: tmp_path / name for name in CONTENTS} if whole else None
    assert places_by_size(RECORD, tmp_path) == expected


def test_what_else_lies_in_the_folder(tmp_path: Path) -> None:
    surveyed(tmp_path, {"z": b"", "m": b"", f"{BASE}.json": b"", f"{OTHER}.par2": b"", "c-76543210.mlfa.age.0001": b""})
    (tmp_path / "folder").mkdir()
    assert strangers(FILES, tmp_path) == [tmp_path / name for name in ("c-76543210.mlfa.age.0001", "m", "z")]
    assert sets_in(tmp_path) == ([BASE, OTHER], {BASE, "c-76543210"})


def test_what_is_said_of_a_finding() -> None:
    plain = Finding(name="v", state=VolumeState.MISSING)
    mended = Finding(name="v", state=VolumeState.CUT_OFF, detail="so", mended=True)
    assert (plain.line, mended.line) == ("v: missing", "v: cut off (so), mended")
    assert mended.to_json() == {"name": "v", "state": "cut off", "detail": "so", "mended": True}
