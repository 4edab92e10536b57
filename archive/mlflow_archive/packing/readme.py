"""The text of README.txt beside volumes: how to undo all of it with tools that have been there for long."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow_archive.format.layout import manifest_name
from mlflow_archive.packing.volumes import Names
from mlflow_archive.signing.folder import NAMESPACE, SignatureFiles

_HEAD = """\
This folder holds an mlflow-archive, {form} volumes. The program mlflow-archive is not needed to get
it back (with it: mlflow-archive unpack FOLDER -o NAME.mlfa). All commands are to be given in this folder, or better in
a copy of it: what is mended is written there, and the archive, which is one file of {size:,} bytes.

{contents}
1. Check that all is there and as it was written

    sha256sum -c {base}.sha256

"""
_PARITY = """\
2. Where something is missing or damaged, mend it (the program is in the package par2)

    par2 repair {base}.par2

What was damaged stays beside it as NAME.1. Then check again.

"""
_NO_PARITY = """\
2. There is no parity: what is missing or damaged must be fetched once more from where it was packed.

"""
_PLAIN = """\
3. Put the volumes together

    cat {glob} > {base}.mlfa

"""
_ENCRYPTED = """\
3. Put the volumes together and decrypt them (the program is in the package age). KEYFILE is a file with the key: one
of age, or a private one of SSH

    cat {glob} | age -d -i KEYFILE -o {base}.mlfa

"""
_PROTECTED_KEY = """\
{base}.identity.age is such a file, protected by the passphrase, which age asks for:

    cat {glob} | age -d -i {base}.identity.age -o {base}.mlfa

"""
_TAIL = """\
4. {base}.mlfa is the archive: an ordinary ZIP with a README.txt that says how to read and check it

    unzip -p {base}.mlfa README.txt
"""
_SIGNATURES = """
5. Its signatures are in {base}.mlfa.sig: they are by OpenSSH, over the manifest of the export with their number. To
check them takes a list of those who may sign (ALLOWED SIGNERS in man ssh-keygen) from somebody whom you trust:
allowed_signers, in this folder

"""
_VERIFY = """\
    unzip -p {base}.mlfa {manifest} | ssh-keygen -Y verify -f allowed_signers -I {signer} -n {namespace} -s {file}
"""


def readme_text(
    names: Names, *, digits: int, size: int, parity: bool, passphrase: bool, signatures: Sequence[SignatureFiles]
) -> str:
    """Return the text for a set whose volumes are numbered in so many digits, of an archive of ``size`` bytes."""
    contents = {
        f"{names.joined}.{1:0{digits}}": "the volumes, numbered",
        names.parity: "parity, with *.vol*.par2: it gives back what is missing or damaged (PAR2)",
        names.identity: "the key, protected by the passphrase (age)",
        names.signatures: "the signatures of the archive",
        names.record: "what was packed, and size and SHA-256 of each volume (JSON)",
        names.checksums: "the SHA-256 of every file here",
    }
    is_there = {names.parity: parity, names.identity: passphrase, names.signatures: bool(signatures)}
    width = max(map(len, contents)) + 2
    parts = [_HEAD, _PARITY if parity else _NO_PARITY, _ENCRYPTED if names.encrypted else _PLAIN]
    parts += [_PROTECTED_KEY if passphrase else "", _TAIL, _SIGNATURES if signatures else ""]
    text = "".join(parts).format(
        base=names.base,
        size=size,
        form="encrypted by age and cut into" if names.encrypted else "cut into",
        glob=f"{names.joined}.{'[0-9]' * digits}",
        contents="".join(f"    {name:{width}}{text}\n" for name, text in contents.items() if is_there.get(name, True)),
    )
    return text + "".join(_verify_command(names, files) for files in signatures)


def _verify_command(names: Names, files: SignatureFiles) -> str:
    return _VERIFY.format(
        base=names.base,
        manifest=manifest_name(files.export),
        signer=files.signer,
        namespace=NAMESPACE,
        file=f"{names.signatures}/{files.path.name}",
    )
