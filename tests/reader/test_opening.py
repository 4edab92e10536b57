"""Which manifest is taken when the newest cannot be read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from mlflow_archive.errors import ArchiveError, DamagedError, FormatTooNewError, NotAnArchiveError
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.stored.opening import open_members, read_manifest
from tests.spec.drafts import Draft, Files, base_rows, build, build_second, write_directory

TWO_EXPORTS = Path(__file__).parents[1] / "golden" / "v1-two-exports.mlfa"


@pytest.mark.parametrize("copy", ["equal", "missing"])
def test_an_older_export_does_not_hide_that_the_newest_is_too_new(tmp_path: Path, copy: str) -> None:
    with zipfile.ZipFile(TWO_EXPORTS) as archive:
        archive.extractall(tmp_path)
    document = json.loads((tmp_path / "manifest.json").read_bytes())
    document["required_features"] = ["something-newer"]
    (tmp_path / "manifest.json").write_bytes(canonical_json(document))
    if copy == "equal":
        (tmp_path / "manifests" / "0002.json").write_bytes(canonical_json(document))
    else:
        (tmp_path / "manifests" / "0002.json").unlink()

    with pytest.raises(FormatTooNewError, match="something-newer"):
        open_archive(tmp_path)


MAIN, COPY, OLD_COPY, SUMS = "manifest.json", "manifests/0002.json", "manifests/0001.json", "checksums.sha256"
ONE = build(Draft())
TWO = build_second(Draft(), {"runs": [base_rows()["runs"][1]]})
OTHER = TWO[MAIN].replace(b'"vectors"', b'"vectorz"')
NO_OBJECT = "is no valid manifest: it has no object `format`"
GONE = "E010: manifest.json is missing; read from its copy"
NOT_LISTED = f"E005: {{}} is not what {SUMS} states"
UNFINISHED = (
    "holds an export that was not finished and no committed one. Run the same export command again, it continues"
)
NONE_GOOD = "and no copy of it is what checksums.sha256 states"


def without(*names: str, **changed: bytes) -> Files:
    """Return the archive of two exports without some files; what is ``changed`` is called ``main`` or ``copy``."""
    named = {"main": MAIN, "copy": COPY, "old_copy": OLD_COPY, "sums": SUMS}
    files = {**TWO, **{named[name]: data for name, data in changed.items()}}
    return {name: data for name, data in files.items() if name not in names}


@pytest.mark.parametrize(
    ("files", "export", "problems"),
    [
        (without(), 2, []),
        (without(MAIN), 2, [(MAIN, GONE)]),
        (without(MAIN, copy=b"{}"), 1, [(MAIN, GONE), (COPY, f"E002: {COPY} {NO_OBJECT}")]),
        (without(MAIN, copy=OTHER), 1, [(MAIN, GONE), (COPY, NOT_LISTED.format(COPY))]),
        (
            {**without(MAIN), "manifests/0003.json": TWO[MAIN]},
            2,
            [(MAIN, GONE), ("manifests/0003.json", NOT_LISTED.format("manifests/0003.json"))],
        ),
        (without(main=b"{}"), 2, [(MAIN, f"E002: {MAIN} {NO_OBJECT}")]),
        (without(main=OTHER), 2, [(MAIN, f"E005: {MAIN} differs from {COPY}; the copy is good")]),
        (without(copy=ONE[MAIN]), 2, [(COPY, f"E005: {COPY} differs from {MAIN}")]),
        (without(COPY), 2, [(COPY, f"E010: {COPY} is not in PATH: No such file or directory")]),
    ],
    ids=[
        *("sound", "no manifest", "no manifest and a bad copy", "no manifest and another copy"),
        *("a copy of a number that is not its own", "bad", "another", "another copy", "no copy"),
    ],
)
def test_one_copy_is_taken_and_the_others_are_told(
    tmp_path: Path, files: Files, export: int, problems: list[tuple[str, str]]
) -> None:
    write_directory(files, tmp_path)
    members = open_members(tmp_path)
    opened = read_manifest(members)
    members.close()
    assert opened.manifest.export_number == export
    assert opened.data == (ONE if export == 1 else TWO)[MAIN]
    found = [(problem.member, str(problem).replace(str(tmp_path), "PATH")) for problem in opened.problems]
    assert found == problems


@pytest.mark.parametrize(
    ("files", "error", "member", "said"),
    [
        (without(MAIN, SUMS), DamagedError, MAIN, f"E006: {MAIN} is missing or damaged ({GONE}), {NONE_GOOD}"),
        (without(main=b"{}", copy=b"{}"), DamagedError, MAIN, f"E002: {MAIN} {NO_OBJECT}"),
        (without(COPY, OLD_COPY, main=b"{}"), DamagedError, MAIN, f"E002: {MAIN} {NO_OBJECT}"),
        (
            without(main=OTHER, sums=b""),
            DamagedError,
            MAIN,
            f"E006: {MAIN} and {COPY} differ, and {SUMS} confirms neither",
        ),
        (without(SUMS, main=OTHER), DamagedError, MAIN, f"E006: {MAIN} and {COPY} differ, and {SUMS} confirms neither"),
        ({"a": b""}, NotAnArchiveError, None, f"E001: PATH is no archive: there is no {MAIN} in it"),
        (
            {**without(MAIN), "staging/a": b""},
            NotAnArchiveError,
            None,
            f"E001: PATH {UNFINISHED}",
        ),
    ],
    ids=["no checksums", "both bad", "no copies", "neither listed", "no list", "nothing", "not finished"],
)
def test_what_cannot_be_opened(
    tmp_path: Path, files: Files, error: type[ArchiveError], member: str | None, said: str
) -> None:
    write_directory(files, tmp_path)
    members = open_members(tmp_path)
    with pytest.raises(error) as caught:
        read_manifest(members)
    members.close()
    assert str(caught.value).replace(str(tmp_path), "PATH") == said
    assert getattr(caught.value, "member", None) == member


NEWER = TWO[MAIN].replace(b'"major":1', b'"major":2')


@pytest.mark.parametrize(
    ("files", "export"),
    [
        (without(main=NEWER), 2),
        (without(main=NEWER, copy=NEWER), None),
        (without(COPY, main=NEWER), None),
        (without(SUMS, main=NEWER), None),
        (without(main=canonical_json({**json.loads(NEWER), "exports": 3})), None),
    ],
    ids=["one copy", "both", "without its copy", "without checksums", "of another form"],
)
def test_a_version_is_damaged_where_the_copy_of_the_same_export_says_another(
    tmp_path: Path, files: Files, export: int | None
) -> None:
    write_directory(files, tmp_path)
    members = open_members(tmp_path)
    if export is None:
        with pytest.raises(FormatTooNewError):
            read_manifest(members)
    else:
        opened = read_manifest(members)
        assert opened.manifest.export_number == export
        (problem,) = opened.problems
        assert (problem.code, problem.member) == ("E002", MAIN)
        assert str(problem).startswith(f"E002: {MAIN} is damaged: E003: ")
    members.close()


def test_a_place_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(NotAnArchiveError) as caught:
        open_members(tmp_path / "a")
    assert str(caught.value) == f"E001: {tmp_path / 'a'} does not exist"
