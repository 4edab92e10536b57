"""What MLflow's servers answer about artifacts behind their proxy, and the names that they take as they are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple
from urllib.parse import quote, unquote, urlparse, urlunparse

from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import ARTIFACT_LISTING
from mlflow_archive.http.paging import paged

if TYPE_CHECKING:
    from mlflow_archive.http.session import Params, TrackingSession

IN_MEMORY: Final = 4 << 20
"""Files up to this size, in bytes, stay in memory while they are on their way."""

PROXY_LIST: Final = "/api/2.0/mlflow-artifacts/artifacts"
_SAME_UNKNOWN: Final = 2
_SAME_OTHER: Final = 3


class ListedEntry(NamedTuple):
    """What lies in a folder; a ``size`` of 0 bytes is left out by the server."""

    path: str
    is_folder: bool
    size: int


def entries_in(answer: Any) -> list[ListedEntry]:
    """Return what a listing of a folder has. Raises ArtifactUnreadableError where it has another shape."""
    try:
        return [
            ListedEntry(str(entry["path"]), bool(entry.get("is_dir")), int(entry.get("file_size") or 0))
            for entry in answer.get("files", [])
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        reason = f"the listing has an unexpected shape: {exc!r}"
        raise ArtifactUnreadableError(reason, code=ARTIFACT_LISTING) from exc


def whole_list(session: TrackingSession, path: str, params: Any, *, refusals_are_final: bool = False) -> Any:
    """Return the list of a folder with the files of all its pages: some servers give long ones in several."""
    pages = list(paged(lambda page: session.get(path, page, refusals_are_final=refusals_are_final), params))
    if len(pages) == 1:
        return pages[0]
    lists = (page.get("files") or () if isinstance(page, Mapping) else (page,) for page in pages)
    return {"files": [entry for files in lists for entry in files]}


def download_whole(
    session: TrackingSession, path: str, params: Params | None, target: BinaryIO, size: int | None
) -> int:
    """Download until the size is the announced one, or surely another; return it.

    A page or a shorter body may come with a length that fits it. So a file of another size is taken for what the
    server has when it came so three times, and one of unknown size when the same came twice.
    """
    bodies: Counter[bytes] = Counter()
    for _ in range(session.retry.attempts):
        received = session.download(path, params, target)
        if received == size:
            break
        target.seek(0)
        digest = hashlib.file_digest(target, hashlib.sha256).digest()  # type: ignore[arg-type]
        bodies[digest] += 1
        if bodies[digest] == (_SAME_UNKNOWN if size is None else _SAME_OTHER):
            break
    return received


def survives(path: str) -> bool:
    """Return whether MLflow's server takes a path as it is: it decodes paths again after HTTP has decoded them."""
    decoded = unquote(path)
    return decoded == path and urlunparse(urlparse(path)) == path and "#" not in path and path.isprintable()


def quoted(path: str) -> str:
    """Percent-encode a path for use in a URL; ``/`` stays."""
    return quote(path, safe="/")
