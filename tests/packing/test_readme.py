"""What README.txt beside volumes lists is what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.packing.readme import readme_text
from mlflow_archive.packing.volumes import Names
from mlflow_archive.signing.folder import SignatureFiles

BASE = "a-0123abcd"
SIGNATURE = SignatureFiles(export=2, signer="ada", path=Path("x/0002-ada.sig"), tokens={})


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("passphrase", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_files_and_commands(encrypted: bool, parity: bool, passphrase: bool, signed: bool) -> None:
    text = readme_text(
        Names(base=BASE, encrypted=encrypted),
        digits=4,
        size=1234567,
        parity=parity,
        passphrase=passphrase,
        signatures=[SIGNATURE] if signed else [],
    )
    joined = f"{BASE}.mlfa.age" if encrypted else f"{BASE}.mlfa"
    listed = [line.split("  ")[2] for line in text.partition("\n1. ")[0].splitlines() if line.startswith("    ")]
    assert listed == [
        f"{joined}.0001",
        *([f"{BASE}.par2"] if parity else []),
        *([f"{BASE}.identity.age"] if passphrase else []),
        *([f"{BASE}.mlfa.sig"] if signed else []),
        f"{BASE}.json",
        f"{BASE}.sha256",
    ]
    assert "one file of 1,234,567 bytes" in text
    volumes = f"{joined}.[0-9][0-9][0-9][0-9]"
    opened = f"cat {volumes} | age -d -i KEYFILE -o {BASE}.mlfa" if encrypted else f"cat {volumes} > {BASE}.mlfa"
    commands = [line.strip() for line in text.partition("\n1. ")[2].splitlines() if line.startswith("    ")]
    verified = (
        f"unzip -p {BASE}.mlfa manifests/0002.json | ssh-keygen -Y verify -f allowed_signers -I ada -n mlflow-archive "
    )
    assert [command for command in commands if not command.startswith(verified)] == [
        f"sha256sum -c {BASE}.sha256",
        *([f"par2 repair {BASE}.par2"] if parity else []),
        opened,
        *([f"cat {volumes} | age -d -i {BASE}.identity.age -o {BASE}.mlfa"] if passphrase else []),
        f"unzip -p {BASE}.mlfa README.txt",
    ]
    ends = [command.rpartition(" -s ")[2] for command in commands if command.startswith(verified)]
    assert ends == ([f"{BASE}.mlfa.sig/0002-ada.sig"] if signed else [])
