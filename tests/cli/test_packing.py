"""pack and unpack as a user meets them: what is said, where, and the exit codes."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyrage

from tests.cli.conftest import Command, archive_id


def test_a_transfer(cli: Command, single_file: Path, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"{identity}\n")
    volumes, back = tmp_path / "volumes", tmp_path / "back.mlfa"
    options = ("--recipient", identity.to_public(), "--volume-size", "16KiB", "--parity", "40%")
    ran = cli("pack", single_file, "--to", volumes, *options)
    [record] = volumes.glob("*.json")
    count, parity = len(list(volumes.glob("*.age.*"))), len(list(volumes.glob("*.par2")))
    lines = [line.split() for line in ran.out.splitlines()]
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"packed {single_file} into {volumes}")
    assert lines[1:4] == [
        ["set", record.stem],
        ["archive", "id", archive_id(single_file)],
        ["encrypted", "yes,", "by", "age"],
    ]
    assert [line[:2] for line in lines[4:5]] == [["volumes", str(count)]]
    assert [line[:4] for line in lines[5:]] == [["files", "of", "parity", str(parity)]]
    assert "bytes will be written to" in ran.err

    ran = cli("unpack", volumes, "-o", back, "-q")
    assert (ran.code, ran.out) == (14, "")
    assert ran.err == f"mlflow-archive: {volumes}: the volumes are encrypted; give the key with --identity FILE\n"

    ran = cli("unpack", volumes, "-o", back, "--identity", tmp_path / "key", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert back.read_bytes() == single_file.read_bytes()

    first = volumes / f"{record.stem}.mlfa.age.001"
    first.unlink()
    ran = cli("unpack", volumes, "-o", tmp_path / "two.mlfa", "--identity", tmp_path / "key")
    assert (ran.code, ran.out) == (
        0,
        f"unpacked {volumes} to {tmp_path / 'two.mlfa'}\n  archive id  {archive_id(single_file)}\n  mended      1\n",
    )
    assert ran.err.endswith(f"of the set, these were not as they were written:\n  {first.name}: missing, mended\n")

    for path in volumes.glob("*.par2"):
        path.unlink()
    ran = cli("unpack", volumes, "-o", tmp_path / "three.mlfa", "--identity", tmp_path / "key", "-q")
    assert (ran.code, ran.out) == (12, "")
    assert ran.err == (
        f"mlflow-archive: {volumes}: volumes are not as they were written, and cannot be mended: there is no parity. "
        f"Fetch these once more:\n  {first.name}: missing\n"
    )


def test_signatures_that_are_lost(cli: Command, single_file: Path, tmp_path: Path) -> None:
    archive, folder = tmp_path / "a.mlfa", tmp_path / "a.mlfa.sig"
    shutil.copyfile(single_file, archive)
    folder.mkdir()
    (folder / "0001-ada.sig").write_bytes(b"signed")
    assert cli("pack", archive, "--to", tmp_path / "volumes", "-q").code == 0
    ran = cli("unpack", tmp_path / "volumes", "-o", tmp_path / "first.mlfa")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "  signatures  1, to be checked by verify --signers FILE")
    [signature] = (tmp_path / "volumes").glob("*.sig/*")
    signature.write_bytes(b"singed")
    ran = cli("unpack", tmp_path / "volumes", "-o", tmp_path / "back.mlfa", "-q")
    assert ran.code == 3
    assert ran.err.endswith(f"signatures are lost: {signature.parent.name}/0001-ada.sig\n")


def test_usage(cli: Command, single_file: Path, tmp_path: Path) -> None:
    to = ("--to", tmp_path / "volumes")
    assert "'much' is no share such as 10%" in cli("pack", single_file, *to, "--parity", "much").err
    ran = cli("pack", single_file, *to, "--parity", "0%")
    assert (ran.code, ran.err) == (2, "mlflow-archive: parity is more than 0 % and at most 100 %, not 0 %\n")
    ran = cli("pack", single_file, *to, "--passphrase-file", tmp_path / "nothing")
    assert ran.code == 2
    assert f"{tmp_path / 'nothing'}: the passphrase cannot be read" in ran.err
    (tmp_path / "empty").write_text("\nsecret\n")
    ran = cli("pack", single_file, *to, "--passphrase-file", tmp_path / "empty")
    assert (ran.code, ran.err) == (
        2,
        f"mlflow-archive: {tmp_path / 'empty'}: its first line is empty, and is to be the passphrase\n",
    )
    assert not (tmp_path / "volumes").exists()


def test_a_passphrase_is_asked_for_and_never_shown(single_file: Path, tmp_path: Path) -> None:
    volumes, back = tmp_path / "volumes", tmp_path / "back.mlfa"
    code, shown = on_a_terminal(["pack", single_file, "--to", volumes, "--passphrase"], "correct horse")
    assert (code, "correct" in shown, "Repeat for confirmation" in shown) == (0, False, True)
    code, shown = on_a_terminal(["unpack", volumes, "-o", back], "correct horse")
    assert (code, "correct" in shown) == (0, False)
    assert back.read_bytes() == single_file.read_bytes()
    command = [sys.executable, "-m", "mlflow_archive_cli", "pack", str(single_file), "--to", "b", "--passphrase"]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "--passphrase asks on a terminal, and there is none: use --passphrase-file FILE" in ran.stderr


def on_a_terminal(arguments: list[object], answer: str) -> tuple[int, str]:
    """Run the command and answer whenever it asks; return its exit code and what it showed."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "mlflow_archive_cli", *map(str, arguments)])  # noqa: S606
    shown = ""
    with suppress(OSError):  # the other side is closed
        while part := os.read(terminal, 4096):
            shown += part.decode()
            if part.endswith(b": "):
                os.write(terminal, f"{answer}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown
