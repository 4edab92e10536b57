"""What packing refuses, word for word, and what it clears away, at the edges."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedVolumesError, KeyRefusedError, NotAnArchiveError, SelectionError
from mlflow_archive.packing import parity
from mlflow_archive.packing.encryption import (
    check_encryption,
    encrypted_size,
    read_identities,
    read_recipients,
)
from mlflow_archive.packing.mending import MendingFolder
from mlflow_archive.packing.pack import SMALLEST_VOLUME, PackOptions, _named_in
from mlflow_archive.packing.parity import Mended, mend, parity_files, plan_parity
from mlflow_archive.packing.survey import Finding, Survey, VolumeState
from mlflow_archive.packing.unpack import find_set
from mlflow_archive.packing.volumes import Names, SetFile, SetRecord, decode_record, encode_record
from mlflow_archive.storage.files import Files
from tests.spec.drafts import sha

NAMES = Names(base="a-0123abcd")
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def refusal(error: type[Exception], action: object, *values: object) -> str:
    with pytest.raises(error) as caught:
        action(*values)  # type: ignore[operator]
    return str(caught.value)


def test_recipients_and_keys(tmp_path: Path) -> None:
    public, private, empty = tmp_path / "public", tmp_path / "private", tmp_path / "empty"
    public.write_text(f"# of two\n\n {ED25519} \nnobody\n")
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    empty.write_text("# nobody\n")
    assert read_recipients([]) == []
    assert len(read_recipients([ED25519, ED25519])) == 2
    for given, message in (
        ([str(empty), str(empty)], f"there is no recipient in {empty}, {empty}"),
        ([str(public)], f"'{public}: nobody' is no recipient: age1…, ssh-ed25519 … or ssh-rsa … are"),
        (
            [str(private)],
            f"{private} holds a private key: give the public one, which age-keygen -y or a .pub file has",
        ),
        (
            [f"{tmp_path}/none"],
            f"{tmp_path}/none is neither a recipient (age1…, ssh-ed25519 …, or a file of these) nor a file",
        ),
    ):
        assert refusal(SelectionError, read_recipients, given) == message
    assert refusal(SelectionError, read_recipients, ["age1x"]).startswith("'age1x' is no recipient that age knows: ")
    assert refusal(SelectionError, check_encryption, "") == "the passphrase is empty"
    check_encryption("x")
    assert refusal(SelectionError, read_identities, [tmp_path], str) == f"{tmp_path} is neither a key nor a file"
    assert refusal(KeyRefusedError, read_identities, [empty], str) == (
        f"{empty} holds no key: one of age begins with AGE-SECRET-KEY-, one of SSH with -----BEGIN"
    )


def test_a_key_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("AGE-SECRET-KEY-1X")
    message = refusal(KeyRefusedError, read_identities, [tmp_path / "key"], str)
    assert message.startswith(f"{tmp_path}/key: its key cannot be used: ")


def test_how_much_age_makes_of_a_stream() -> None:
    assert [encrypted_size(size, 2) for size in (0, 65_535, 65_536)] == [1_552, 67_087, 67_104]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"volume_size": SMALLEST_VOLUME - 1},
            f"a volume has at least {SMALLEST_VOLUME:,} bytes, not {SMALLEST_VOLUME - 1:,}",
        ),
        ({"parity_percent": 0}, "parity is more than 0 % and at most 100 %, not 0 %"),
        ({"parity_percent": 100.5}, "parity is more than 0 % and at most 100 %, not 100.5 %"),
    ],
)
def test_options_at_their_edges(options: dict[str, float], message: str) -> None:
    assert refusal(SelectionError, lambda: PackOptions(**options)) == message  # type: ignore[arg-type]
    assert PackOptions(volume_size=SMALLEST_VOLUME, parity_percent=100).parity_percent == 100


def record_of(*names: str) -> SetRecord:
    volumes = tuple(SetFile(name=name, size=9, sha256="0" * 64) for name in names)
    beside = (SetFile(name=f"{NAMES.signatures}/0001-a.sig", size=1, sha256="0" * 64),)
    return SetRecord(
        base=NAMES.base, archive_id="0" * 64, archive_size=9, encrypted=False, volumes=volumes, beside=beside
    )


def test_what_a_record_counts_may_be_nothing() -> None:
    whole = record_of(NAMES.volume(1, 3))
    empty = replace(whole, archive_size=0, beside=(replace(whole.beside[0], size=0),))
    assert decode_record(encode_record(empty), NAMES.base) == empty


def test_what_a_record_names_in_its_folder(tmp_path: Path) -> None:
    path = tmp_path / NAMES.record
    assert _named_in(path, NAMES.base) == set()
    path.write_bytes(encode_record(record_of(NAMES.volume(1, 3))))
    assert _named_in(path, NAMES.base) == {NAMES.volume(1, 3), NAMES.signatures}
    path.write_bytes(b"{")
    assert _named_in(path, NAMES.base) == set()


def test_which_files_are_parity(tmp_path: Path) -> None:
    ours = [f"{NAMES.base}.par2", f"{NAMES.base}.vol000+01.par2"]
    for name in (*ours, f"{NAMES.base}.vol.par2", f"{NAMES.base}Xpar2", "b-0123abcd.par2"):
        (tmp_path / name).touch()
    (tmp_path / f"{NAMES.base}.vol1+1.par2").mkdir()
    assert parity_files(tmp_path, NAMES) == [tmp_path / name for name in ours]


@pytest.mark.parametrize(
    ("code", "output", "outcome"),
    [
        (0, "", Mended(lacking=0, strange=frozenset())),
        (
            2,
            'Target: "a" - damaged.\nYou need 12 more recovery blocks\nFile: "b" - no data found.',
            Mended(lacking=12, strange=frozenset({"b"})),
        ),
        (2, "no main packet", Mended(lacking=0, strange=frozenset())),
        (2, 'Target: "a" - found.\n', 'Target: "a" - found. (exit 2)'),
        (3, "a\n\n b \nc\nd\n", "b; c; d (exit 3)"),
        (1, " \n", "it said nothing (exit 1)"),
    ],
)
def test_what_the_program_answers(
    code: int, output: str, outcome: Mended | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []

    def answer(verb: str, arguments: Sequence[str], *_: object) -> subprocess.CompletedProcess[str]:
        asked.append([verb, *arguments])
        return subprocess.CompletedProcess([], code, output)

    monkeypatch.setattr(parity, "_ask", answer)
    if isinstance(outcome, Mended):
        assert mend(tmp_path / "a.par2", tmp_path, {"y", "x"}, -1) == outcome
    else:
        found = refusal(Exception, mend, tmp_path / "a.par2", tmp_path, {"y", "x"}, -1)
        assert found == f"{tmp_path}: par2 could not mend the volumes: {outcome}"
    assert asked == [["repair", f"-B{tmp_path}", "--", f"{tmp_path}/a.par2", "x", "y"]]


def test_parity_of_one_file_of_parity_and_of_two() -> None:
    plan = plan_parity([4096 * 10], 10, 10**6)
    assert (plan.block_size, plan.recovery, plan.files, plan.size) == (4096, 1, 1, 4164 + 1000 * 3 + 1000)
    assert plan_parity([4096 * 10], 100, 10 * 4164 + 1000 * 6).files == 1
    assert plan_parity([4096 * 10], 100, 10 * 4164 + 1000 * 6 - 1).files == 2
    assert plan_parity([1], 1, 10**6).recovery == 1
    assert plan_parity([4096 * 10 + 1], 10, 10**6).recovery == 2


def test_what_was_mended_counts_and_links_do_not(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "inner").mkdir(parents=True)
    mending = MendingFolder(Files(), work, -1)
    (work / "link").symlink_to(tmp_path)
    assert not mending.has_mended()
    (work / "inner" / "a").write_bytes(b"right")
    (work / "b").write_bytes(b"wrong")
    assert mending.has_mended()
    files = [SetFile(name=name, size=5, sha256=sha(b"right")) for name in ("inner/a", "b", "link", "none")]
    findings = [Finding(name=name, state=VolumeState.MISSING) for name in ("inner/a", "b")]
    condition = Survey(findings=findings)
    mending.take_mended(condition, files)
    assert condition.places == {"inner/a": work / "inner" / "a"}
    assert [finding.mended for finding in condition.findings] == [True, False]
    mending._clear(work, {work / "inner" / "a"})
    assert sorted(path.relative_to(work).as_posix() for path in work.rglob("*")) == ["inner", "inner/a"]
    without = refusal(DamagedVolumesError, mending.mend, record_of(NAMES.volume(1, 3)), tmp_path, condition)
    assert without.splitlines()[0] == (
        f"{tmp_path}: volumes are not as they were written, and cannot be mended: there is no parity. "
        "Fetch these once more:"
    )


def test_folders_in_which_there_is_no_one_set(tmp_path: Path) -> None:
    assert refusal(NotAnArchiveError, find_set, tmp_path / "x") == f"{tmp_path}/x is no folder with volumes"
    nothing = f"{tmp_path} holds no set of volumes"
    assert refusal(NotAnArchiveError, find_set, tmp_path) == f"{nothing}, or one that was not finished"
    for name in ("z", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / NAMES.record).touch()
    assert refusal(NotAnArchiveError, find_set, tmp_path) == f"{nothing}; there is one in its folder y"
    (tmp_path / NAMES.volume(1, 3)).touch()
    assert refusal(NotAnArchiveError, find_set, tmp_path) == (
        f"{tmp_path} holds volumes of {NAMES.base}, but neither record nor parity"
    )
    (tmp_path / NAMES.record).touch()
    assert find_set(tmp_path) == NAMES
    (tmp_path / "b-0123abcd.json").touch()
    assert refusal(SelectionError, find_set, tmp_path) == (
        f"{tmp_path} holds several sets ({NAMES.base}, b-0123abcd): move the files of each into a folder of its own"
    )
