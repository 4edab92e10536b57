"""Sign an archive from Python, as ``mlflow-archive sign`` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.location import local_path
from mlflow_archive.http.authority import ask_authority
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.making import Signed, renew_signatures, sign_newest
from mlflow_archive.signing.timestamps import check_installed
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.private_folder import remove_left_behind


def sign(
    archive: str | os.PathLike[str],
    key: str | os.PathLike[str] | None = None,
    *,
    signer: str | None = None,
    timestamp: str | None = None,
    renew: bool = False,
    tell: Callable[[str], None] = print,
) -> list[Signed]:
    """Sign the newest export of an archive with an OpenSSH key; see ``mlflow-archive sign``. The archive stays as is.

    ``key`` is the file of a private key, or of a public one of an agent; ``signer`` the name as it stands in the list
    of allowed signers, by default the comment of the key. ``timestamp`` is the URL of an RFC 3161 authority. With
    ``renew``, without a key, the signatures that are there, of ``signer`` or all, get one more time-stamp. ``tell``
    is called with what a hardware key waits for. Repeated, a signature that is there is left. Raises SelectionError,
    KeyRefusedError, MissingProgramError, MissingExtraError, ServerError, TargetError, ArchiveError.
    """
    if timestamp is not None:
        check_installed()
    ask = None if timestamp is None else partial(ask_authority, timestamp)
    try:
        with open_archive(local_path(archive)) as opened:
            if renew and key is None and ask is not None:
                return list(renew_signatures(opened, signer, ask=ask, files=Files()))
            if key is None or renew:
                raise SelectionError("signing takes a key; renewing takes the URL of an authority, and no key")
            return [sign_newest(opened, local_path(key), signer, ask=ask, files=Files(), tell=tell)]
    finally:
        remove_left_behind()
