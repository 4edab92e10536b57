"""URIs of archives and of what lies in them: ``mlflow-archive:/data/backup.mlfa!/1/<run id>/artifacts/model``.

Behind ``!/`` follows the layout in which a restore lays out artifacts below its root. ``!export-2/`` in its place names
the archive as it was after its export 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE, UPLOADS

SCHEME: Final = "mlflow-archive"
_INSIDE: Final = re.compile(r"!(?:export-([0-9]{1,4}))?(?:/|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class State:
    """An archive at an absolute path, as it is or as it was after the export of that number."""

    path: Path
    at: int | None = None


def state_of(uri: str) -> State:
    """Return the archive that a URI names. Raises SelectionError for another scheme."""
    scheme, colon, rest = uri.partition(":")
    if scheme != SCHEME or not colon or not rest:
        raise SelectionError(f"{uri!r} is no URI of an archive; {SCHEME}:/data/backup.mlfa is one")
    match = _INSIDE.search(rest)
    place = rest if match is None else rest[: match.start()]
    path = Path(unquote(place.removeprefix("//") if place.startswith("///") else place)).absolute()
    return State(path, None if match is None or match[1] is None else int(match[1]))


def artifact_root(state: State) -> str:
    """Return the root of all artifacts of an archive."""
    export = "" if state.at is None else f"export-{state.at}"
    return f"{SCHEME}:{quote(str(state.path.absolute()))}!{export}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactAddress:
    """Whose artifacts a URI means, and the path among them; a registered model is named as ``safe_name`` has it."""

    kind: str
    owner: str
    path: str


def address_of(uri: str) -> ArtifactAddress | None:
    """Return what a URI below an artifact root means, None for a folder that belongs to no object."""
    match = _INSIDE.search(uri)
    parts = ("" if match is None else uri[match.end() :]).strip("/").split("/")
    for kind, uploads in UPLOADS.items():
        if parts[0] == uploads.folder:
            place = uploads.address(parts[1:])
            return None if place is None else ArtifactAddress(kind=kind, owner=place[0], path=place[1])
    match parts:
        case ["models", name, *rest]:
            return ArtifactAddress(kind=REGISTERED_MODEL, owner=name, path="/".join(rest))
        case [_, "models", model_id, "artifacts", *rest]:
            return ArtifactAddress(kind=LOGGED_MODEL, owner=model_id, path="/".join(rest))
        case [_, "traces", trace_id, "artifacts", *rest]:
            return ArtifactAddress(kind=TRACE, owner=trace_id, path="/".join(rest))
        case [_, run_id, "artifacts", *rest]:
            return ArtifactAddress(kind=RUN, owner=run_id, path="/".join(rest))
    return None
