"""Passphrases: from a file, or asked for on a terminal; never from the command line, which others can read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlflow_archive.errors import SelectionError
from mlflow_archive_cli.parameters import LOCAL_PATH

passphrase_file_option = click.option(
    "--passphrase-file", type=LOCAL_PATH, metavar="FILE", help="The passphrase is the first line of this file."
)


def passphrase_in(path: Path) -> str:
    """Return the first line of a file. Raises SelectionError where it cannot be read or is empty."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SelectionError(f"{path}: the passphrase cannot be read: {error}") from error
    if not lines or not lines[0]:
        raise SelectionError(f"{path}: its first line is empty, and is to be the passphrase")
    return lines[0]


def can_ask() -> bool:
    """Return whether there is somebody to ask."""
    return sys.stdin.isatty()


def ask(*, twice: bool) -> str:
    """Ask for a passphrase on the terminal."""
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return answer
