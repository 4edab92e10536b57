"""Artifacts in an object store, where the target names that itself: written from here, or by URLs that it signs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sinks.replay.writing.artifacts import RepositoryPlace, safe_parts

_SIGN: Final = "/api/2.0/mlflow/artifacts/presigned-upload-url"


class DirectPlace:
    """An object store that MLflow itself can write to from here; where it cannot, the server signs uploads.

    ``owner`` names the run or logged model of the target whose artifacts these are: ``run_id`` or ``model_id``, or
    nothing for what the server signs no uploads for.
    """

    def __init__(self, session: TrackingSession, uri: str, owner: Mapping[str, str]) -> None:
        self._session, self._owner = session, dict(owner)
        self._reason: ItemError | None = None
        self._repository: RepositoryPlace | None = None
        try:
            self._repository = RepositoryPlace(uri)
        except ItemError as exc:
            self._give_up(exc)

    def _give_up(self, exc: ItemError) -> None:
        """Leave it to the server from here on, where that is possible."""
        if not self._owner:
            raise exc
        self._reason, self._repository = exc, None

    def sizes(self) -> Mapping[str, int]:
        if self._repository is not None:
            try:
                return self._repository.sizes()
            except ItemError as exc:
                self._give_up(exc)
        try:
            return dict(self._listed(""))
        except ServerError as exc:
            raise ItemError(f"{self._reason}; nor does the server list them: {exc}") from exc

    def put(self, path: str, data: BinaryIO, size: int) -> None:
        start = data.tell()
        if self._repository is not None:
            try:
                self._repository.put(path, data, size)
            except ItemError as exc:
                self._give_up(exc)
            else:
                return
        safe_parts(path)
        data.seek(start)
        try:
            answer = self._session.post(_SIGN, {**self._owner, "path": path}, refusals_are_final=True)
            self._session.upload_signed(answer["presigned_url"], answer.get("headers") or {}, data, size)
        except (ServerError, KeyError) as exc:
            raise ItemError(f"{self._reason}; nor could it be written by a URL that the server signs: {exc}") from exc

    def _listed(self, folder: str) -> Iterator[tuple[str, int]]:
        if "run_id" in self._owner:
            answer = self._session.get("/api/2.0/mlflow/artifacts/list", {**self._owner, "path": folder})
        else:
            directories = f"/api/2.0/mlflow/logged-models/{self._owner['model_id']}/artifacts/directories"
            answer = self._session.get(directories, {"artifact_directory_path": folder})
        for entry in answer.get("files", []):
            if entry.get("is_dir"):
                yield from self._listed(entry["path"])
            else:
                yield entry["path"], int(entry.get("file_size", 0))
