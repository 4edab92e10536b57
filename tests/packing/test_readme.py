"""What README.txt beside volumes lists is what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.packing.readme import readme_text
from mlflow_archive.packing.volumes import Names
from mlflow_archive.signing.folder import SignatureFiles

BASE = "a-0123abcd"
WHOLE = """\
This folder holds an mlflow-archive, encrypted by age and cut into volumes. The program mlflow-archi\
ve is not needed to get
it back (with it: mlflow-archive unpack FOLDER -o NAME.mlfa). All commands are to be given in this folder, or better in
a copy of it: what is mended is written there, and the archive, which is one file of 1,234,567 bytes.

    a-0123abcd.mlfa.age.001  the volumes, numbered
    a-0123abcd.par2          parity, with *.vol*.par2: it gives back what is missing or damaged (PAR2)
    a-0123abcd.identity.age  the key, protected by the passphrase (age)
    a-0123abcd.mlfa.sig      the signatures of the archive
    a-0123abcd.json          what was packed, and size and SHA-256 of each volume (JSON)
    a-0123abcd.sha256        the SHA-256 of every file here

1. Check that all is there and as it was written

    sha256sum -c a-0123abcd.sha256

2. Where something is missing or damaged, mend it (the program is in the package par2)

    par2 repair a-0123abcd.par2

What was damaged stays beside it as NAME.1. Then check again.

3. Put the volumes together and decrypt them (the program is in the package age). KEYFILE is a file with the key: one
of age, or a private one of SSH

    cat a-0123abcd.mlfa.age.[0-9][0-9][0-9] | age -d -i KEYFILE -o a-0123abcd.mlfa

a-0123abcd.identity.age is such a file, protected by the passphrase, which age asks for:

    cat a-0123abcd.mlfa.age.[0-9][0-9][0-9] | age -d -i a-0123abcd.identity.age -o a-0123abcd.mlfa

4. a-0123abcd.mlfa is the archive: an ordinary ZIP with a README.txt that says how to read and check it

    unzip -p a-0123abcd.mlfa README.txt

5. Its signatures are in a-0123abcd.mlfa.sig: they are by OpenSSH, over the manifest of the export with their number. To
check them takes a list of those who may sign (ALLOWED SIGNERS in man ssh-keygen) from somebody whom you trust:
allowed_signers, in this folder

    unzip -p a-0123abcd.mlfa manifests/0002.json | ssh-keygen -Y verify -f allowed_signers -I ada -n\
 mlflow-archive -s a-0123abcd.mlfa.sig/0002-ada.sig
"""
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


def test_all_of_it_word_for_word() -> None:
    names = Names(base=BASE, encrypted=True)
    assert readme_text(names, digits=3, size=1234567, parity=True, passphrase=True, signatures=[SIGNATURE]) == WHOLE
    plain = readme_text(Names(base=BASE), digits=3, size=1, parity=False, passphrase=False, signatures=[])
    assert plain.startswith("This folder holds an mlflow-archive, cut into volumes. The program mlflow-archive is not")
    assert (
        "\n2. There is no parity: what is missing or damaged must be fetched once more from where it was packed.\n"
        in plain
    )
    assert "\n3. Put the volumes together\n" in plain
