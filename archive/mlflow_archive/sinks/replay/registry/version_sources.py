"""Where a version's files are in the target: what MLflow takes as the source of a version made there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN
from mlflow_archive.kinds.version_source import OF_MODEL, OF_RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.registry.carriers import Carriers
from mlflow_archive.sinks.replay.registry.registry_rows import RegisteredModelRows, VersionRows
from mlflow_archive.sinks.replay.target.target import pairs_of
from mlflow_archive.sinks.replay.writing.artifact_copy import ArtifactOwner
from mlflow_archive.sinks.replay.writing.earlier_imports import MODEL_IDENTITY, SOURCE_MODEL_ID
from mlflow_archive.sinks.replay.writing.failures import get_or_none, is_unknown_there
from mlflow_archive.sinks.replay.writing.version_numbers import identity_of_row, identity_of_tags, without_time

OF_VERSION: Final = re.compile(r"models:/+([^/@]+)/([0-9]{1,10})/?")
"""A source that is a version of a registered model: its name and number."""
ANY_SOURCE: Final = "s3://mlflow-archive/nothing"
"""A source that every MLflow takes."""
PROMPT_SOURCES: Final = ("dummy-source", "prompt-template")
ANYWHERE: Final = re.compile(r"(?!file:|runs:|models:|mlflow-artifacts:)[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_API: Final = "/api/2.0/mlflow/"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSource:
    """Arguments of a version's creation; ``changed`` counts it in the receipt where it is not as at the source."""

    uri: str
    run_id: str | None = None
    model_id: str | None = None
    changed: str | None = None


class VersionSources:
    """Finds sources. Usable by several threads."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._carriers = Carriers(context)

    def candidates(self, model: RegisteredModelRows, version: VersionRows) -> Iterator[VersionSource]:
        """Yield what may be the source of a version, best first; the last is one that MLflow always takes."""
        source = version.info["source"] or ""
        if model.is_prompt:
            run_id = self._run(version.info["run_id"])
            yield VersionSource(uri=source if source in PROMPT_SOURCES else PROMPT_SOURCES[0], run_id=run_id)
            # A server before prompts takes that for a path; one that is upgraded later has a prompt then.
            yield VersionSource(uri=ANY_SOURCE, run_id=run_id, changed="prompts_for_a_later_server")
            return
        if version.artifacts:
            yield self._of_files(model, version)
            return
        if copied := OF_VERSION.fullmatch(source):
            yield from self._of_version(model, copied[1], int(copied[2]))
            source = version.info["storage_location"] or source
        yield from self._of_logged_model(version, source)
        yield from self._of_run(source)
        if ANYWHERE.match(source):
            yield VersionSource(uri=source, run_id=self._run(version.info["run_id"]))
        yield self._of_nothing(version)

    def _of_files(self, model: RegisteredModelRows, version: VersionRows) -> VersionSource:
        receipt = self._context.receipt

        def mapped(source_id: str) -> str | None:
            return receipt.ids(RUN).get(source_id) or receipt.ids(LOGGED_MODEL).get(source_id)

        owner = ArtifactOwner(
            kind=REGISTERED_MODEL, source_id=model.owner_id, mapped=mapped, prefix=f"{version.number}/"
        )
        identity = identity_of_row(version.info, version.number)
        name = f"{model.owner_id} {version.number}"
        carrier = self._carriers.of_files(identity, name, version.artifacts, owner)
        if carrier.model_id is None:
            return VersionSource(uri=carrier.uri, run_id=carrier.run_id, changed="versions_with_files_in_a_carrier")
        return VersionSource(
            uri=f"models:/{carrier.model_id}",
            model_id=carrier.model_id,
            run_id=self._run(version.info["run_id"]),
            changed="versions_with_files_in_a_carrier",
        )

    def _of_version(self, model: RegisteredModelRows, name: str, number: int) -> Iterator[VersionSource]:
        """Yield the version of which this one is a copy, where the target's is the one of the source."""
        workspace = model.info["workspace"]
        target_name = self._context.options.model_name(name, workspace)
        target_number = self._context.versions.of(name, workspace, number, is_prompt=False)
        params = {"name": target_name, "version": str(target_number)}
        answer = None if target_number is None else get_or_none(self._context.api, _API + "model-versions/get", params)
        if answer is None:
            return
        tags = pairs_of(answer["model_version"].get("tags", []))
        if without_time(identity_of_tags(tags, version=True) or "") == f"{workspace}/{name}/{number}":
            yield VersionSource(uri=f"models:/{target_name}/{target_number}")

    def _of_nothing(self, version: VersionRows) -> VersionSource:
        carrier = self._carriers.of_nothing()
        if carrier.model_id is None:
            return VersionSource(uri=carrier.uri, run_id=carrier.run_id, changed="versions_without_files")
        run_id = self._run(version.info["run_id"])
        uri = f"models:/{carrier.model_id}"
        return VersionSource(uri=uri, model_id=carrier.model_id, run_id=run_id, changed="versions_without_files")

    def _of_logged_model(self, version: VersionRows, source: str) -> Iterator[VersionSource]:
        match = OF_MODEL.fullmatch(source)
        if not match:
            return
        model_id = self._model(match[1] or match[3])
        if model_id is None:
            return
        run_id = self._run(version.info["run_id"])
        path = match[2] or match[4] or ""
        if not path:
            yield VersionSource(uri=f"models:/{model_id}", model_id=model_id, run_id=run_id)
            return
        root = self._context.api.get(f"{_API}logged-models/{model_id}")["model"]["info"]["artifact_uri"]
        yield VersionSource(uri=f"{root}/{path}", model_id=model_id, run_id=run_id)

    def _of_run(self, source: str) -> Iterator[VersionSource]:
        """Yield an absolute source as an absolute one, as MLflow's UI looks for it, and else by the run's id."""
        match = OF_RUN.fullmatch(source)
        run_id = self._run(match[1] or match[3]) if match else None
        if not match or run_id is None:
            return
        path = match[2] or match[4] or ""
        if match[3]:
            root = self._context.target.get_run(run_id).artifact_uri
            yield VersionSource(uri=f"{root}/{path}" if path else root, run_id=run_id)
        yield VersionSource(uri=f"runs:/{run_id}/{path}", run_id=run_id)

    def _run(self, source_id: str | None) -> str | None:
        return self._context.find_run(source_id)

    def _model(self, source_id: str) -> str | None:
        """Return the target's id of an active logged model, of this import or an earlier one."""
        target_id = self._context.mapped(LOGGED_MODEL, source_id) or self._anywhere(source_id)
        if target_id is None or get_or_none(self._context.api, f"{_API}logged-models/{target_id}") is None:
            return None
        return target_id

    def _anywhere(self, source_id: str) -> str | None:
        experiments = [experiment.experiment_id for experiment in self._context.target.experiments()]
        model: dict[str, Any] | None = None
        for key in (SOURCE_MODEL_ID, MODEL_IDENTITY):
            try:
                model = model or self._context.model_index.search(experiments, key, source_id)
            except ServerError as exc:
                if not is_unknown_there(exc):
                    raise
        return None if model is None else str(model["info"]["model_id"])
