"""A packed and unpacked archive is the same, to the byte; what cannot be packed or unpacked is said in one sentence."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pyrage
import pytest

from mlflow_archive.errors import (
    DamagedError,
    KeyRefusedError,
    MlflowArchiveError,
    NotAnArchiveError,
    SelectionError,
    TargetError,
)
from mlflow_archive.packing.pack import PackOptions, pack
from mlflow_archive.packing.unpack import UnpackOptions, unpack
from mlflow_archive.reader.archive import open_archive
from tests.road.packed_sets import (
    SIGNATURE,
    VOLUME_SIZE,
    PackedSet,
    flip,
    identity,
    key_file,
    make_archive,
    packed_set,
    tree,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    return packed_set(tmp_path_factory.mktemp("sound"))


def test_a_set_has_what_the_page_of_the_format_says(sound: PackedSet) -> None:
    base = sound.record.base
    assert base.startswith("transfer-")
    contents = tree(sound.folder)
    parity = sorted(name for name in contents if name.endswith(".par2"))
    volumes = [f"{base}.mlfa.age.{number:03}" for number in range(1, 8)]
    beside = [f"{base}.json", f"{base}.mlfa.sig", f"{base}.mlfa.sig/0001-ada@example.org.sig", f"{base}.sha256"]
    assert sorted(contents) == sorted(["README.txt", *volumes, *beside, *parity])
    assert parity[0] == f"{base}.par2"
    assert all(len(data or b"") <= VOLUME_SIZE for data in contents.values())
    assert [len(contents[name] or b"") for name in volumes[:-1]] == [VOLUME_SIZE] * 6
    listed = {name: data for name, data in contents.items() if data is not None and not name.endswith(".sha256")}
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(listed.items()))
    assert contents[f"{base}.sha256"] == lines.encode()
    with open_archive(sound.archive) as archive:
        assert sound.record.archive_id == archive.id
    assert sound.record.archive_size == sound.archive.stat().st_size


def test_what_is_packed_comes_back_to_the_byte_with_its_signatures(sound: PackedSet, tmp_path: Path) -> None:
    report = sound.unpack(tmp_path / "back.mlfa")
    assert tree(tmp_path) == {
        "back.mlfa": sound.archive.read_bytes(),
        "back.mlfa.sig": None,
        "back.mlfa.sig/0001-ada@example.org.sig": SIGNATURE,
    }
    assert (report.archive_id, report.findings, report.signatures, report.lost_signatures) == (
        sound.record.archive_id,
        (),
        1,
        (),
    )
    assert report.complete


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_directory_is_packed_as_the_single_file_that_it_would_be(tmp_path: Path, encrypted: bool) -> None:
    directory = make_archive(tmp_path, "My models, №1")
    recipients = [str(identity().to_public())] if encrypted else []
    packed = pack(directory, tmp_path / "volumes", options=PackOptions(recipients=recipients))
    assert packed.record.base.startswith("My-models-1-")
    assert len(packed.record.volumes) == 1
    options = UnpackOptions(identities=[key_file(tmp_path)])
    report = unpack(tmp_path / "volumes", tmp_path / "back.mlfa", options=options)
    with open_archive(directory) as before, open_archive(tmp_path / "back.mlfa") as after:
        assert before.id == after.id == report.archive_id
        assert before.members.sizes() == after.members.sizes()
    assert (tmp_path / "back.mlfa.sig" / "0001-ada@example.org.sig").read_bytes() == SIGNATURE


def test_keys_of_ssh_and_files_of_recipients(tmp_path: Path) -> None:
    archive = make_archive(tmp_path)
    for kind in ("ed25519", "rsa -b 2048"):
        name, *more = kind.split()
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", tmp_path / name, "-t", name, *more], check=True)
    listed = tmp_path / "recipients.txt"
    listed.write_text(f"# all of us\n\n{identity().to_public()}\n{(tmp_path / 'rsa.pub').read_text()}")
    recipients = [(tmp_path / "ed25519.pub").read_text().strip(), str(listed)]
    pack(archive, tmp_path / "volumes", options=PackOptions(recipients=recipients))
    for number, key in enumerate((tmp_path / "ed25519", tmp_path / "rsa", key_file(tmp_path))):
        options = UnpackOptions(identities=[key])
        unpack(tmp_path / "volumes", tmp_path / f"{number}.mlfa", options=options)
        assert (tmp_path / f"{number}.mlfa").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([], "the volumes are encrypted; give the key with --identity FILE"),
        (["other"], "no key opens the volumes, which are as they were written"),
        (["empty"], "empty holds no key"),
        (["broken"], "broken: its key cannot be used"),
    ],
)
def test_without_the_key_nothing_is_written(sound: PackedSet, tmp_path: Path, keys: list[str], sentence: str) -> None:
    (tmp_path / "other").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "broken").write_text("AGE-SECRET-KEY-1QQQQ\n")
    before = tree(tmp_path)
    with pytest.raises(KeyRefusedError, match=sentence) as caught:
        unpack(sound.folder, tmp_path / "b.mlfa", options=UnpackOptions(identities=[tmp_path / key for key in keys]))
    assert caught.value.exit_code == 14
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("recipient", "sentence"),
    [
        ("age1nonsense", "is no recipient that age knows"),
        ("ssh-ed25519 AAAA", "is no recipient that age knows"),
        ("nowhere", "is neither a recipient"),
        ("private", "holds a private key"),
        ("comments", "there is no recipient in"),
        ("words", "is no recipient"),
    ],
)
def test_recipients_that_are_none(tmp_path: Path, recipient: str, sentence: str) -> None:
    archive = make_archive(tmp_path)
    (tmp_path / "private").write_text(f"{identity()}\n")
    (tmp_path / "comments").write_text("# nobody\n")
    (tmp_path / "words").write_text("Ada Lovelace\n")
    text = recipient if recipient[:3] in ("age", "ssh") else str(tmp_path / recipient)
    with pytest.raises(SelectionError, match=sentence) as caught:
        pack(archive, tmp_path / "volumes", options=PackOptions(recipients=[text]))
    assert str(identity()) not in str(caught.value)
    assert not (tmp_path / "volumes").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"volume_size": 1000}, "a volume has at least 16,384 bytes, not 1,000"),
        ({"parity_percent": 0}, "parity is more than 0 % and at most 100 %"),
        ({"parity_percent": 101}, "parity is more than 0 % and at most 100 %"),
        ({"passphrase": ""}, "the passphrase is empty"),
        ({"volume_size": 16384, "parity_percent": 100}, "parity of 100 % does not fit into 31 files of 16,384 bytes"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, object], sentence: str) -> None:
    archive = make_archive(tmp_path)
    with pytest.raises(SelectionError, match=sentence):
        pack(archive, tmp_path / "volumes", options=PackOptions(**options))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="recipients takes a list"):
        PackOptions(recipients="age1")


def refusal(action: object, kind: type[MlflowArchiveError]) -> str:
    with pytest.raises(kind) as caught:
        action()  # type: ignore[operator]
    return str(caught.value)


def test_only_what_is_committed_and_sound_is_packed(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    refusal(lambda: pack(tmp_path / "nothing", tmp_path / "volumes"), NotAnArchiveError)
    single, directory = make_archive(tmp_path), make_archive(tmp_path, "directory")
    with open_archive(single) as archive:
        [member, *_] = [member for member in archive.manifest.members if member.kind == "pack"]
        place = archive.members.open(member.path)._start + 50
    flip(single, place)
    flip(directory / member.path, 50)
    for path in (single, directory):
        assert f"E012: {member.path} has SHA-256" in refusal(lambda p=path: pack(p, tmp_path / "volumes"), DamagedError)
        assert list((tmp_path / "volumes").iterdir()) == []
    (directory / member.path).unlink()
    refused = refusal(lambda: pack(directory, tmp_path / "volumes"), DamagedError)
    assert f"{member.path}: the manifest lists it, and it is not there; nothing is packed" in refused


def test_a_set_goes_into_a_folder_of_its_own(tmp_path: Path) -> None:
    archive = make_archive(tmp_path)
    report = pack(archive, tmp_path / "new" / "volumes")
    refused = refusal(lambda: pack(archive, tmp_path / "new" / "volumes"), TargetError)
    assert refused.endswith(f"holds the set {report.record.base} already; name a folder that is new or empty")
    refused = refusal(lambda: pack(archive, tmp_path / "new"), TargetError)
    assert refused.endswith("holds other files, such as volumes; name a folder that is new or empty")


def test_an_archive_that_is_there_is_kept(sound: PackedSet, tmp_path: Path) -> None:
    (tmp_path / "b.mlfa").write_bytes(b"mine")
    assert refusal(lambda: sound.unpack(tmp_path / "b.mlfa"), TargetError).endswith(
        "exists already; choose another name"
    )
    assert tree(tmp_path) == {"b.mlfa": b"mine"}


def test_folders_without_one_set(sound: PackedSet, tmp_path: Path) -> None:
    target = tmp_path / "b.mlfa"
    assert "is no folder" in refusal(lambda: unpack(tmp_path / "nothing", target), NotAnArchiveError)
    assert "holds no set of volumes" in refusal(lambda: unpack(tmp_path, target), NotAnArchiveError)
    two = sound.copy(tmp_path / "two").folder
    refused = refusal(lambda: unpack(tmp_path, target), NotAnArchiveError)
    assert refused.endswith("holds no set of volumes; there is one in its folder two")
    pack(sound.archive, tmp_path / "other")
    for path in (tmp_path / "other").glob("*.json"):
        path.rename(two / path.name)
    assert "holds several sets (transfer-" in refusal(lambda: unpack(two, target), SelectionError)
    for path in [*two.glob("*.json"), *two.glob("*.sha256"), *two.glob("*.par2")]:
        path.unlink()
    refused = refusal(lambda: unpack(two, target), NotAnArchiveError)
    assert refused.endswith(f"holds volumes of {sound.record.base}, but neither record nor parity")


def test_a_strange_signature_is_not_left_behind_silently(tmp_path: Path) -> None:
    archive = make_archive(tmp_path)
    (tmp_path / "transfer.mlfa.sig" / "folder").mkdir()
    refused = refusal(lambda: pack(archive, tmp_path / "volumes"), TargetError)
    assert refused.endswith("is no signature: it must be a file with a plain name; move it away")
