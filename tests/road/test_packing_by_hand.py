"""README.txt tells the truth: its commands, run as they stand there by tools of Debian, give the archive back."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from mlflow_archive.errors import KeyRefusedError
from mlflow_archive.packing.pack import PackOptions, pack
from mlflow_archive.packing.unpack import UnpackOptions, unpack
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.manifests import manifest_bytes
from tests.road.packed_sets import PackedSet, flip, make_archive, packed_set, tree
from tests.spec.make_signature_vectors import ARCHIVE, ROOT
from tests.support.signers import allowed, new_signer, sign_by_hand

PACKAGES = {
    "sha256sum": "coreutils",
    "par2": "par2",
    "cat": "coreutils",
    "age": "age",
    "unzip": "unzip",
    "ssh-keygen": "openssh-client",
}
PASSPHRASE = "correct horse"  # noqa: S105 - of tests


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    missing = sorted({package for tool, package in PACKAGES.items() if shutil.which(tool, path=PATH) is None})
    if missing:
        pytest.fail(f"README.txt needs tools that are not here: install the packages {', '.join(missing)}")


PATH = "/usr/local/bin:/usr/bin:/bin"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": PATH, "HOME": str(folder)}
    command_line = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(command_line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def commands(folder: Path) -> list[str]:
    """Return the commands of README.txt in their order."""
    text = (folder / "README.txt").read_text("ascii")
    return [line.strip() for line in re.findall(r"^    (?:sha256sum|par2|cat|unzip) .*$", text, re.MULTILINE)]


def undo(spoilt: PackedSet) -> bytes:
    """Do as README.txt says and return the archive."""
    check, mend, join, show, _ = commands(spoilt.folder)
    assert shell(check, spoilt.folder).returncode == 1
    mended = shell(mend, spoilt.folder)
    assert mended.returncode == 0, mended.stdout
    assert shell(check, spoilt.folder).returncode == 0
    joined = shell(join.replace("KEYFILE", str(spoilt.key)), spoilt.folder)
    assert joined.returncode == 0, joined.stderr
    assert shell(show, spoilt.folder).stdout.startswith("This is an mlflow-archive")
    return (spoilt.folder / f"{spoilt.record.base}.mlfa").read_bytes()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_all_is_undone_by_hand(tmp_path: Path, encrypted: bool) -> None:
    spoilt = packed_set(tmp_path, encrypted=encrypted)
    spoilt.volume(2).unlink()
    flip(spoilt.volume(1), 70)
    flip(spoilt.folder / f"{spoilt.record.base}.json", 20)
    assert undo(spoilt) == spoilt.archive.read_bytes()
    signatures = tree(spoilt.folder / f"{spoilt.record.base}.mlfa.sig")
    assert signatures == tree(spoilt.archive.with_name("transfer.mlfa.sig"))


def test_without_parity_there_is_no_such_command(tmp_path: Path) -> None:
    bare = packed_set(tmp_path, encrypted=False, parity=None)
    check, join, _, _ = commands(bare.folder)
    assert shell(check, bare.folder).returncode == 0
    assert shell(join, bare.folder).returncode == 0
    assert (bare.folder / f"{bare.record.base}.mlfa").read_bytes() == bare.archive.read_bytes()


def test_each_signature_is_verified_by_hand(tmp_path: Path) -> None:
    archive, ada = tmp_path / "a.mlfa", new_signer(tmp_path, "ada")
    shutil.copy(ROOT / ARCHIVE, archive)
    with open_archive(archive) as opened:
        signatures = {number: sign_by_hand(ada, manifest_bytes(opened, number)) for number in (1, 2)}
    (tmp_path / "a.mlfa.sig").mkdir()
    for number, data in signatures.items():
        (tmp_path / "a.mlfa.sig" / f"000{number}-ada.sig").write_bytes(data)
    (tmp_path / "a.mlfa.sig" / "0002-ada.tsr").write_bytes(b"a token")
    folder = pack(archive, tmp_path / "volumes").folder
    assert "which is one file of 24,540 bytes" in (folder / "README.txt").read_text("ascii")
    _, join, _, *verify = commands(folder)
    assert shell(join, folder).returncode == 0
    allowed(folder / "allowed_signers", ada)
    assert [shell(command, folder).stdout.split(" with ")[0] for command in verify] == [
        'Good "mlflow-archive" signature for ada'
    ] * 2
    assert shell(verify[0].replace("manifests/0001", "manifests/0002"), folder).returncode == 255


def test_a_passphrase_opens_what_it_closed_with_us_and_by_hand(tmp_path: Path) -> None:
    """All in one test: each use of a passphrase takes a second, as it should."""
    archive = make_archive(tmp_path)
    report = pack(archive, tmp_path / "b", options=PackOptions(passphrase=PASSPHRASE, parity_percent=10))
    unpack(tmp_path / "b", tmp_path / "a.mlfa", options=UnpackOptions(passphrase=PASSPHRASE))
    assert (tmp_path / "a.mlfa").read_bytes() == archive.read_bytes()
    with pytest.raises(KeyRefusedError, match=r"\.identity\.age: this is not its passphrase"):
        unpack(tmp_path / "b", tmp_path / "c.mlfa", options=UnpackOptions(passphrase=lambda: "battery staple"))
    with pytest.raises(KeyRefusedError, match="protected by a passphrase, and none was given: --passphrase-file FILE"):
        unpack(tmp_path / "b", tmp_path / "c.mlfa")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a.mlfa", "a.mlfa.sig", "b", "transfer.mlfa", "transfer.mlfa.sig")
    ]
    [_, _, join, join_with_passphrase, _, _] = commands(tmp_path / "b")
    assert "KEYFILE" in join
    assert on_a_terminal(f"set -o pipefail; {join_with_passphrase}", tmp_path / "b", PASSPHRASE) == 0
    assert (tmp_path / "b" / f"{report.record.base}.mlfa").read_bytes() == archive.read_bytes()


def on_a_terminal(command: str, folder: Path, answer: str) -> int:
    """Run a command that asks on the terminal, and answer."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve("/bin/bash", ["bash", "-c", command], {"PATH": PATH})  # noqa: S606
    said = b""
    with suppress(OSError):  # the other side is closed
        while part := os.read(terminal, 4096):
            said += part
            if said.endswith(b": "):
                os.write(terminal, f"{answer}\n".encode())
                said += b"\n"
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
