"""Where the artifacts of a run, logged model or trace lie on this machine, which is seldom where it says.

A file store that was moved, or came from another machine, names folders that are gone. A path taken from a store is
only followed if the owner's id is part of it, as MLflow makes it: a store cannot point an export at other files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from mlflow_archive.artifact_roots.local import FoundFile, list_files
from mlflow_archive.errors import SelectionError
from mlflow_archive.format.gaps import ARTIFACT_LISTING
from mlflow_archive.format.location import windows_path, without_password
from mlflow_archive.sources.mlruns.layout import ARTIFACTS, holds_files
from mlflow_archive.sources.reading.gaplist import GapList

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_DRIVE = re.compile(r"/?[A-Za-z]:[\\/]")


def local_path(uri: str) -> str | None:
    """Return the path of a plain path or ``file:`` URI, ``/`` between parts; None for anything remote."""
    if uri.lower().startswith("file:"):
        parts = urlsplit(uri)
        return unquote(parts.path) if parts.netloc in ("", "localhost") else None
    if _DRIVE.match(uri):
        return uri.replace("\\", "/")
    return None if not uri or _SCHEME.match(uri) else uri


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactPlaces:
    """Finds the artifacts of objects of the store at ``root``; ``artifact_map`` replaces prefixes of URIs by folders.

    An object's own folder has its id as its name.
    """

    root: Path
    artifact_map: Sequence[tuple[str, str]] = ()

    def check(self) -> None:
        """Raise SelectionError if the map leads to a folder that does not exist."""
        for prefix, target in self.artifact_map:
            if not Path(target).is_dir():
                raise SelectionError(f"--artifact-map {prefix}={target}: there is no folder {target}")

    def files(self, owner: Path, artifact_uri: str | None, gaps: GapList) -> list[FoundFile]:
        """Return the artifact files of an object; that they cannot be reached becomes a gap.

        They lie in the first place that holds any: the owner's folder, the map, the URI, the URI in a moved store.
        """
        uri = artifact_uri or ""
        mapped, path = self.mapped(uri), local_path(uri)
        for folder in (owner / ARTIFACTS, *mapped, *self._local(path or "", owner.name)):
            if holds_files(folder):
                return list_files(folder, gaps.add)
        if uri and not mapped and path is None:
            place = without_password(uri)
            reason = f"artifacts lie at {place}, which a file store export cannot reach; use --artifact-map"
            gaps.add("", ARTIFACT_LISTING, reason)
        return []

    def mapped(self, uri: str) -> list[Path]:
        """Return the folder that the map gives for a URI, or nothing."""
        for prefix, target in self.artifact_map:
            # Gaps name a location without its password, and so may who answers them.
            pairs = (
                (uri, prefix),
                (without_password(uri), prefix),
                (local_path(uri), local_path(prefix)),
                (windows_path(uri), windows_path(prefix)),
            )
            for known, start in pairs:
                rest = _after(known or "", start or "")
                if rest is not None:
                    return [Path(target, rest)]
        return []

    def _local(self, path: str, owner_id: str) -> Iterator[Path]:
        parts = PurePosixPath(path).parts
        if owner_id not in parts or ".." in parts:
            return
        yield self.root.parent / path
        at = parts.index(owner_id)
        # <experiment>/models/<id>, <experiment>/<run id>, and where ids lie at the top of the store
        for start in (at - 2, at - 1, at):
            tail = [part for part in parts[max(start, 0) :] if part != "/"]
            yield self.root.joinpath(*tail)


def _after(uri: str, prefix: str) -> str | None:
    """Return what follows a prefix at a ``/``, or None."""
    prefix = prefix.rstrip("/")
    if not prefix or not (uri == prefix or uri.startswith(prefix + "/")):
        return None
    rest = uri[len(prefix) :].strip("/")
    return None if ".." in rest.split("/") else rest
