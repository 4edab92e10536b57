"""sign and verify by the command: who signed which export, by hand the same, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import SelectionError
from mlflow_archive.reader.archive import open_archive
from tests.cli.conftest import Command, archive_id
from tests.support.memory_source import MemoryOptions, export
from tests.support.signers import Signer, allowed, new_signer, sign_by_hand

COMMAND = str(Path(sys.executable).with_name("mlflow-archive"))


def by_hand(archive: Path, signers: Path, signer: Signer, signature: Path) -> str:
    """Check a signature with public tools alone; return what ssh-keygen says."""
    take = f"unzip -p '{archive}' manifest.json" if archive.is_file() else f"cat '{archive}/manifest.json'"
    check = f"ssh-keygen -Y verify -f '{signers}' -I {signer.name} -n mlflow-archive -s '{signature}'"
    return subprocess.run(f"{take} | {check}", shell=True, capture_output=True, text=True, check=True).stdout  # noqa: S602


def members(archive: Path) -> dict[str, bytes]:
    """Return the bytes of an archive, either form."""
    paths = [archive] if archive.is_file() else [path for path in archive.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


def test_a_signature_lies_beside_the_archive_and_is_found_right_by_hand(
    cli: Command, unsigned: Path, ada: Signer, signers: Path
) -> None:
    before, number = members(unsigned), archive_id(unsigned)
    ran = cli("sign", unsigned, "--key", ada.key)
    folder = unsigned.with_name(f"{unsigned.name}.sig")
    signature = folder / "0001-ada@bank.sig"
    assert [path.name for path in folder.iterdir()] == ["0001-ada@bank.sig"]
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("export 1 is signed by ada@bank (SHA256:")
    assert by_hand(unsigned, signers, ada, signature).startswith('Good "mlflow-archive" signature for ada@bank with ')
    ran = cli("verify", unsigned, "--signers", signers, "--require-signature", "-q")
    assert ran.code == 0
    assert "\nexport 1 is signed by ada@bank, which covers all of the archive (ssh-ed25519 SHA256:" in ran.out
    assert (members(unsigned), archive_id(unsigned)) == (before, number)
    assert cli("verify", unsigned, "--json").out.count('"signatures"') == 0
    assert cli("verify", unsigned, "--level", "quick", "-q").out.splitlines()[-1] == (
        f"{folder.name} beside it has 1 signature, which was not checked: give --signers FILE, a list of those whom "
        "you trust."
    )


def test_repeated_a_signature_is_left(cli: Command, unsigned: Path, ada: Signer) -> None:
    assert cli("sign", unsigned, "--key", ada.key).code == 0
    [path] = unsigned.with_name(f"{unsigned.name}.sig").iterdir()
    before = path.read_bytes()
    ran = cli("sign", unsigned, "--key", ada.key, "--json")
    [signature] = json.loads(ran.out)["signatures"]
    assert (signature["export"], signature["signer"], signature["file"]) == (1, "ada@bank", str(path))
    assert (signature["tokens"], signature["written"]) == ([], [])
    assert path.read_bytes() == before


def test_several_sign_and_every_export_can_be_signed(cli: Command, tmp_path: Path, ada: Signer, bob: Signer) -> None:
    path, both = tmp_path / "a.mlfa", allowed(tmp_path / "both", ada, bob)
    export(path, MemoryOptions(runs=1))
    assert [cli("sign", path, "--key", signer.key).code for signer in (ada, bob)] == [0, 0]
    export(path, MemoryOptions(runs=2), append=True)
    ran = cli("verify", path, "--signers", both, "-q")
    assert ran.code == 0
    assert "\nwarning W101: a.mlfa.sig: export 2, the newest, has no signature that is accepted\n" in ran.out
    assert [line.partition(" (")[0] for line in ran.out.splitlines()[-3:]] == [
        "export 1 is signed by ada@bank",
        "export 1 is signed by bob@bank",
        "export 2 is not signed by anyone who is allowed to",
    ]
    ran = cli("verify", path, "--signers", both, "--require-signature", "-q")
    assert ran.code == 14
    assert "\nerror E101: a.mlfa.sig: export 2, the newest, has no signature that is accepted\n" in ran.out
    assert cli("sign", path, "--key", bob.key).code == 0
    report = ma.verify(path, signers=both, require_signature=True)
    assert report.ok
    assert report.signatures is not None
    assert [(record.export, record.signer) for record in report.signatures.records if record.accepted] == [
        (1, "ada@bank"),
        (1, "bob@bank"),
        (2, "bob@bank"),
    ]


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that holds no key yet."""
    socket = tmp_path_factory.mktemp("agent") / "socket"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # once it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield
        process.terminate()


@pytest.mark.usefixtures("agent")
def test_an_agent_signs_with_a_key_that_is_not_on_the_disk(
    cli: Command, unsigned: Path, tmp_path: Path, signers: Path, ada: Signer
) -> None:
    public = tmp_path / "ada.pub"
    public.write_text(f"{ada.public} ada@bank\n")
    ran = cli("sign", unsigned, "--key", public)
    assert (ran.code, ran.out) == (14, "")
    assert "ada.pub cannot sign: ssh-keygen says" in ran.err
    subprocess.run(["ssh-add", "-q", ada.key], check=True)
    assert cli("sign", unsigned, "--key", public).code == 0
    assert ma.verify(unsigned, signers=signers, require_signature=True).ok


def test_what_cannot_sign_is_told_in_one_sentence(
    cli: Command, unsigned: Path, tmp_path: Path, ada: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = new_signer(tmp_path, "locked", passphrase="secret")  # noqa: S106 - of a key for this test
    (tmp_path / "text").write_text("no key")
    monkeypatch.delenv("DISPLAY", raising=False)
    answers = {
        (str(tmp_path / "none"),): (
            2,
            "none: there is no such key; give the file of a private key, or of a public one",
        ),
        (str(tmp_path / "text"),): (2, "text is no key that ssh-keygen can read"),
        (str(ada.key), "--signer", "ada 1"): (2, "'ada 1' cannot be the name of a signer"),
    }
    for options, (code, text) in answers.items():
        ran = cli("sign", unsigned, "--key", *options)
        assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
        assert text in ran.err
    command = [COMMAND, "sign", str(unsigned), "--key", str(locked.key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)  # no terminal
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (14, "", 1)
    assert "locked cannot sign: ssh-keygen says" in done.stderr
    assert not unsigned.with_name(f"{unsigned.name}.sig").exists()


def test_without_ssh_keygen_there_is_one_sentence(
    cli: Command, unsigned: Path, ada: Signer, signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("sign", unsigned, "--key", ada.key).code == 0
    monkeypatch.setenv("PATH", "/nowhere")
    sentence = (
        "mlflow-archive: ssh-keygen is not installed, and it is what signs and checks: install OpenSSH's client\n"
    )
    for words in (["sign", unsigned, "--key", ada.key], ["verify", unsigned, "--signers", signers, "-q"]):
        ran = cli(*words)
        assert (ran.code, ran.out, ran.err) == (2, "", sentence)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["verify", "A", "--require-signature"], "give --signers FILE, too"),
        (["verify", "A", "--tsa-ca", "x"], "give --signers FILE, too"),
        (["verify", "A", "--signers", "nowhere"], "nowhere: there is no such list of allowed signers"),
        (["sign", "A"], "signing takes a key"),
        (["sign", "A", "--renew"], "renewing takes the URL of an authority"),
        (
            ["sign", "A", "--renew", "--key", "K", "--timestamp", "U"],
            "renewing takes the URL of an authority, and no key",
        ),
        (["sign", "A", "--renew", "--timestamp", "U"], "a.mlfa.sig holds no signature; sign the archive first"),
        (["sign", "A", "--renew", "--timestamp", "U", "--signer", "eve"], "holds no signature of eve"),
    ],
)
def test_usage(cli: Command, single_file: Path, words: list[str], text: str) -> None:
    ran = cli(*(single_file if word == "A" else word for word in words))
    assert ran.code == 2
    assert text in ran.err


def test_what_is_in_the_place_of_a_signature_is_not_overwritten(
    cli: Command, tmp_path: Path, ada: Signer, bob: Signer
) -> None:
    path = tmp_path / "a.mlfa"
    export(path, MemoryOptions(runs=1))
    signature = tmp_path / "a.mlfa.sig" / "0001-ada@bank.sig"
    signature.parent.mkdir()
    with open_archive(path) as archive:
        manifest = archive.members.open("manifest.json").reader().read()
    there = {
        b"text": (14, "is damaged: it is no signature as ssh-keygen writes one"),
        sign_by_hand(ada, b"another manifest"): (1, "is no signature of this manifest"),
        sign_by_hand(bob, manifest): (1, "is there already, by another key (SHA256:"),
    }
    for data, (code, text) in there.items():
        signature.write_bytes(data)
        ran = cli("sign", path, "--key", ada.key)
        assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
        assert text in ran.err
        assert "move it away" in ran.err
        assert signature.read_bytes() == data


def test_in_python(unsigned: Path, ada: Signer, signers: Path) -> None:
    [signed] = ma.sign(unsigned, ada.key)
    assert signed.written == (signed.path,) == (unsigned.with_name(f"{unsigned.name}.sig") / "0001-ada@bank.sig",)
    with pytest.raises(SelectionError, match="give --signers FILE, too"):
        ma.verify(unsigned, require_signature=True)
    assert ma.verify(unsigned, signers=signers).to_json()["signatures"]["newest_signed"] is True
