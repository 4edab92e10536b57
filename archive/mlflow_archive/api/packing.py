"""An archive on the road, for Python: into volumes and back, with progress as a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.flow.report import Progress
from mlflow_archive.packing import pack as packing
from mlflow_archive.packing import unpack as unpacking


def pack(
    archive: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    options: packing.PackOptions | None = None,
    progress: Progress | OnProgress | None = None,
) -> packing.PackReport:
    """Pack an archive, either form, into a folder that is new or empty; see ``mlflow-archive pack``.

    Raises ArchiveError where it is not committed or a member is damaged, SelectionError, TargetError,
    MissingExtraError; then there is no set, and the same call begins anew.
    """
    return packing.pack(archive, to, options=options, progress=as_progress(progress))


def unpack(
    folder: str | os.PathLike[str],
    archive: str | os.PathLike[str],
    *,
    identities: Sequence[str | os.PathLike[str]] = (),
    passphrase: str | Callable[[], str] | None = None,
    progress: Progress | OnProgress | None = None,
) -> unpacking.UnpackReport:
    """Put volumes together again to a single file; see ``mlflow-archive unpack``.

    ``identities`` are files with keys; a ``passphrase`` that is a function is called where a key needs one. Raises
    DamagedVolumesError with the volumes that are lost, KeyRefusedError, NotAnArchiveError where there is no set,
    SelectionError, TargetError, MissingExtraError; repeated, it goes on.
    """
    options = unpacking.UnpackOptions(identities=identities, passphrase=passphrase)
    return unpacking.unpack(folder, archive, options=options, progress=as_progress(progress))
