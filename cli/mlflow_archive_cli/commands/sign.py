"""``mlflow-archive sign``: who stands for this archive?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mlflow_archive.api.signing import sign
from mlflow_archive.signing.making import Signed
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.output import output
from mlflow_archive_cli.parameters import LOCAL_PATH
from mlflow_archive_cli.selecting import json_option
from mlflow_archive_cli.table import Section


@click.command("sign")
@click.argument("archive", type=LOCAL_PATH)
@click.option(
    "--key",
    type=LOCAL_PATH,
    metavar="FILE",
    help="The OpenSSH key to sign with: a private key, or the public key of one that an agent holds.",
)
@click.option(
    "--signer",
    metavar="NAME",
    help="Who signs, as it stands in the list of allowed signers; by default the comment of the key.",
)
@click.option(
    "--timestamp", metavar="URL", help="Have the signature time-stamped by the authority (RFC 3161) at this URL."
)
@click.option(
    "--renew",
    is_flag=True,
    help="Sign nothing: give the signatures that are there, or those of --signer, one more time-stamp.",
)
@json_option
def command(
    *, archive: Path, key: Path | None, signer: str | None, timestamp: str | None, renew: bool, as_json: bool
) -> None:
    """Sign the newest export of ARCHIVE with ssh-keygen; nothing in the archive changes.

    The signature lies beside it, in ARCHIVE.sig/NNNN-SIGNER.sig, and covers every member by its SHA-256. Agents and
    hardware keys work. Repeated, a signature that is there is left, and gets the time-stamp that it lacks.

    \b
    Example:
      mlflow-archive sign backup.mlfa --key ~/.ssh/id_ed25519 --signer ada@bank.example
    """
    signed = sign(
        archive, key, signer=signer, timestamp=timestamp, renew=renew, tell=lambda text: click.echo(text, err=True)
    )
    document = {"signatures": [signature.to_json() for signature in signed]}
    output(as_json=as_json).document(document, _sections(signed))


def _sections(signed: Sequence[Signed]) -> Iterator[Section]:
    rows = [(one_line(line),) for signature in signed for line in _lines(signature)]
    yield Section(title="", columns=("",), rows=rows, header=False)


def _lines(signature: Signed) -> Iterator[str]:
    written = signature.path in signature.written
    yield (
        f"export {signature.export} {'is' if written else 'was already'} signed by {signature.signer} "
        f"({signature.fingerprint}): {signature.path}"
    )
    for path in signature.tokens:
        yield f"{'time-stamped' if path in signature.written else 'had its time-stamp'}: {path}"
