"""The manifest of an archive as an earlier export committed it: the archive as it was then.

Nothing is filtered afterwards: the newest export of each entity follows from this manifest as from any other.
"""

from __future__ import annotations

import hashlib

from mlflow_archive.errors import DamagedError, ElsewhereError, SelectionError
from mlflow_archive.format.delta import joined
from mlflow_archive.format.earlier import At, changed_since, export_at
from mlflow_archive.format.layout import manifest_name
from mlflow_archive.format.manifest import MAX_MANIFEST_SIZE, Manifest, decode, encode
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.storage.members import Members


def earlier(members: Members, opened: OpenedManifest, at: At) -> OpenedManifest:
    """Return the manifest after an export, of the newest ``opened`` itself.

    Raises SelectionError for an export that is not there, or was changed since by a repair, ElsewhereError for one that
    lies in the base of a delta, DamagedError (E010, E012, E002) where the copy of its manifest is damaged.
    """
    number = export_at(opened.manifest.exports, at).number
    if number == opened.manifest.export_number:
        return opened
    name = manifest_name(number)
    data = _copy(members, opened.manifest, name)
    manifest = decode(data, where=name)
    if opened.manifest.delta is None and manifest.delta is not None:  # of a delta that was joined with another
        manifest = joined(manifest)
        data = encode(manifest)
    if (change := changed_since(manifest, opened.manifest)) is not None:
        raise SelectionError(
            f"{members.path} as it was after export {number} is not there any more: {' is '.join(change)}, as after a "
            "repair that salvages; without --at it is read as it is now"
        )
    newest = opened.manifest.export_number
    return OpenedManifest(manifest=manifest, data=data, problems=opened.problems, last_export=newest)


def _copy(members: Members, newest: Manifest, name: str) -> bytes:
    listed = newest.member(name)
    if listed is None:
        delta = newest.delta
        if delta is not None and any(member.path == name for member in newest.elsewhere):
            raise ElsewhereError(
                f"{members.path} is a delta, and {name} lies in its base, archive {delta.base}: give it with --base"
            )
        raise DamagedError(f"{name} is not listed by the newest manifest", code="E010", member=name)
    file = members.open(name)
    data = file.read_at(0, min(file.size, MAX_MANIFEST_SIZE))
    if file.size != listed.size or hashlib.sha256(data).hexdigest() != listed.sha256:
        raise DamagedError(f"{name} is not there as it was committed", code="E012", member=name)
    return data
