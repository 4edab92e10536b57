"""The model registry of one workspace, prompts included, with the files of versions that lie in no run or model.

MLflow's searches leave prompts out unless they are asked for, and versions do not show their aliases, so everything
is read in two passes and aliases come from the registered model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from mlflow_archive.artifact_roots import Listing
from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.format.gaps import ARTIFACT_MISSING, FIELD_UNREADABLE, OBJECT_UNREADABLE
from mlflow_archive.http.refusals import check_answered, is_unknown_request
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN, named_owner
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import (
    PROMPT_EXPERIMENTS,
    ModelDependencies,
    Version,
    VersionPlaces,
    dependencies_of,
    has_files,
    prompt_experiments,
)
from mlflow_archive.sources.reading.fields import Fields, refuse, row_of
from mlflow_archive.sources.reading.rows import pair_rows
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, location, unexpected_shape
from mlflow_archive.sources.rest.findings import models_needed
from mlflow_archive.sources.rest.lists import PROMPTS, Page, asking, if_understood, pages
from mlflow_archive.sources.rest.lookups import fetch_model, fetch_run
from mlflow_archive.sources.rest.scope import Batch, Contents, Listed, Scope, TableRows, gap_of, gaps_of

PAGE: Final = 100
_VERSIONS_PAGE: Final = 500
_MODELS: Final = "/api/2.0/mlflow/registered-models"
_VERSIONS: Final = "/api/2.0/mlflow/model-versions"
_TIMES: Final = {"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"}
_OF_LOGGED_MODEL: Final = ("model_id", "model_params", "model_metrics")
"""What the server takes from the logged model that the source of a version names."""


def plan_registry(scope: Scope) -> Iterator[Batch]:
    """Yield the selected registered models in batches."""
    if not (scope.everything or scope.dependencies is not None):
        return
    number, names, versions = 0, scope.selector.registered, scope.selector.versions
    needs = models_needed if scope.models_need_runs else None
    for rows, gaps in _registered_models(scope):
        selected = [row for row in rows if names is None or row.get("name") in names]
        if selected or gaps:
            request = _Models(rows=selected, gaps=gaps, versions=versions)
            yield Batch(name=f"registry-{number:05d}", read=_read, request=request, needs=needs)
            number += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Models(Listed):
    """Registered models, with those of their versions that come."""

    versions: ChosenVersions


def models_by_name(scope: Scope) -> dict[str, Json]:
    """Return all registered models and prompts, as the server's JSON."""
    return {str(row["name"]): row for rows, _ in _registered_models(scope) for row in rows}


def stages_of_versions(scope: Scope, name: str) -> Iterator[Row]:
    """Yield number and stage of each version of a registered model or prompt; more is not read of it."""
    seen_numbers: set[int] = set()
    for page in _version_pages(scope, name):
        for raw in page.rows:
            version = Fields(raw, refuse, path="versions")
            try:
                number, stage = version.integer("version"), version.text("current_stage")
            except UNREADABLE_ROW:
                continue  # reported when the model is read
            if number is not None and number not in seen_numbers:
                seen_numbers.add(number)
                yield {**_name(scope, name), "version": number, "current_stage": stage}


def dependencies_of_models(scope: Scope, models: Mapping[str, Json], chosen: ChosenVersions) -> ModelDependencies:
    """Return what those versions of some registered models that are chosen stand on."""
    tags = [tag for raw in models.values() for tag in raw.get("tags", [])]
    experiments = prompt_experiments(tag.get("value") for tag in tags if tag.get("key") == PROMPT_EXPERIMENTS)
    registry = _RestRegistry(scope)
    versions = [version for name in models for version in _chosen(scope, registry, name, chosen)]
    return dependencies_of(list(models), versions, registry, experiments)


def _chosen(scope: Scope, registry: _RestRegistry, name: str, chosen: ChosenVersions) -> list[Row]:
    owner_id = named_owner(name, scope.workspace)
    return [row for row in registry.versions(name)[0] if chosen.takes(owner_id, row["version"])]


def _version_pages(scope: Scope, name: str) -> Iterator[Page]:
    """Yield the versions of a registered model or prompt, those that a server gives for both twice."""
    mark = '"' if "'" in name else "'"
    its = f"name = {mark}{name}{mark}"
    for condition in (its, f"{its} AND {PROMPTS}"):
        params = {"filter": condition, "order_by": ["version_number ASC"]}
        ask = asking(scope, REGISTERED_MODEL, f"{_VERSIONS}/search", "model_versions", **params)
        yield from pages(if_understood(ask) if condition != its else ask, "version", size=_VERSIONS_PAGE)


def _registered_models(scope: Scope) -> Iterator[tuple[list[Json], list[Gap]]]:
    """Yield all registered models, then all prompts; a server that knows no prompts gives the same again."""
    seen_names: set[object] = set()
    for condition in (None, PROMPTS):
        params = {"order_by": ["name ASC"], **({"filter": condition} if condition else {})}
        ask = asking(scope, REGISTERED_MODEL, f"{_MODELS}/search", "registered_models", **params)
        for page in pages(if_understood(ask) if condition else ask, "name", size=PAGE):
            fresh = [row for row in page.rows if row.get("name") not in seen_names]
            seen_names.update(row.get("name") for row in fresh)
            yield fresh, gaps_of(REGISTERED_MODEL, page.losses)


def _read(scope: Scope, request: _Models, known: Known) -> Iterator[Chunk]:
    registry = _RestRegistry(scope)
    contents = Contents(scope, REGISTERED_MODEL, request.gaps)
    for raw in request.rows:
        name = str(raw.get("name"))
        owner_id = named_owner(name, scope.workspace)
        if contents.add(owner_id, raw, partial(_model_rows, scope)) is None:
            continue
        versions = _chosen(scope, registry, name, request.versions)
        contents.gaps += registry.versions(name)[1]
        scope.unknown.add(REGISTERED_MODEL, owner_id, registry.unread[name])
        tags = [{**_name(scope, name), "version": row["version"], **tag} for row in versions for tag in row["tags"]]
        rows = [{key: row[key] for key in row if key != "tags"} for row in versions]
        contents.add_rows({"model_versions": rows, "model_version_tags": tags})
        if scope.selection.artifacts:
            _add_files(scope, registry, name, versions, contents)
    yield from contents.chunks()


def _model_rows(scope: Scope, model: Fields) -> TableRows:
    name = _name(scope, model.required("name"))
    row = row_of("registered_models", model, _TIMES, **name, description=model.text("description") or "")
    tags = pair_rows(model.pairs_with_nulls("tags"), **name)
    aliases = [row_of("registered_model_aliases", alias, **name) for alias in model.objects("aliases")]
    model.known("latest_versions")  # some of its versions, which come by themselves
    return {"registered_models": [row], "registered_model_tags": tags, "registered_model_aliases": aliases}


class _RestRegistry:
    """What a server says of its registry: a ``Registry`` of ``selecting.model_versions``; asks for each model once."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._versions: dict[str, tuple[list[Row], list[Gap]]] = {}
        self.unread: dict[str, list[str]] = {}
        """The fields of the versions of each model that nobody asked for."""

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        scope, roots = self._scope, dict[str, str | None]()
        for owner_id in ids:
            try:
                owner = fetch_model(scope, owner_id)[0] if kind == LOGGED_MODEL else fetch_run(scope, owner_id)
                roots[owner_id] = Fields(owner["info"], refuse).text("artifact_uri")
            except ServerError as exc:
                check_answered(exc)
                if not _is_missing(exc):
                    roots[owner_id] = None  # it is there, so that whoever reads it says why it cannot be had
        return roots

    def makers(self, models: Collection[str]) -> set[str]:
        infos = (fetch_model(self._scope, model_id)[0]["info"] for model_id in sorted(models))
        return {str(run_id) for info in infos if (run_id := info.get("source_run_id"))}

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> Version | None:
        if alias is not None:
            version = self._of_alias(name, alias)
        return next((row for row in self.versions(name)[0] if row["version"] == version), None)

    def versions(self, name: str) -> tuple[list[Row], list[Gap]]:
        """Return all versions of a registered model or prompt, in the order of their numbers, with their tags."""
        if name not in self._versions:
            self._versions[name] = self._ask_versions(name)
        return self._versions[name]

    def _ask_versions(self, name: str) -> tuple[list[Row], list[Gap]]:
        rows: dict[int, Row] = {}
        gaps: list[Gap] = []
        unread = self.unread[name] = list[str]()
        for page in _version_pages(self._scope, name):
            gaps += [_gap(self._scope, name, loss.place or "versions", loss.reason) for loss in page.losses]
            for raw in page.rows:
                version = Fields(raw, refuse, path="versions")
                try:
                    row = self._row(name, version, gaps)
                except UNREADABLE_ROW as exc:
                    gaps.append(_gap(self._scope, name, f"version {raw.get('version')}", unexpected_shape(exc)))
                    continue
                if row["version"] not in rows:
                    rows[row["version"]] = row
                    unread += version.unread()
        return [rows[number] for number in sorted(rows)], gaps

    def _row(self, name: str, version: Fields, gaps: list[Gap]) -> Row:
        version.known("aliases", *_OF_LOGGED_MODEL)  # the model names its aliases
        place = self._storage_location(name, version.required("version"), version.location("source"), gaps)
        tags = pair_rows(version.pairs_with_nulls("tags"))
        row = row_of("model_versions", version, _TIMES, **_name(self._scope, name), storage_location=place)
        return {**row, "tags": tags}

    def _storage_location(self, name: str, version: str, source: str | None, gaps: list[Gap]) -> str | None:
        """Return where the files of a version lie; the source where the server knows no such thing, or refuses it."""
        try:
            answer = self._scope.session.get(f"{_VERSIONS}/get-download-uri", {"name": name, "version": version})
        except ServerError as exc:
            check_answered(exc)
            if not _is_missing(exc):
                reason = f"the source stands for it: {exc}"
                gaps.append(_gap(self._scope, name, f"{version}/storage_location", reason, code=FIELD_UNREADABLE))
            return source
        return location(answer.get("artifact_uri")) if isinstance(answer, dict) else source

    def _of_alias(self, name: str, alias: str) -> int | None:
        try:
            answer = self._scope.session.get(f"{_MODELS}/alias", {"name": name, "alias": alias})
            return int(answer["model_version"]["version"])
        except ServerError as exc:
            check_answered(exc)
            return None
        except (KeyError, TypeError, ValueError):
            return None


def _add_files(scope: Scope, registry: _RestRegistry, name: str, versions: Sequence[Row], contents: Contents) -> None:
    """Add the files of versions that lie under no run and no logged model which carries them, and gaps."""
    with_files = [row for row in versions if has_files(row)]
    places = VersionPlaces(registry, with_files)
    for row in with_files:
        place = places.of(row)
        version = row["version"]
        if place.uri is None:
            contents.gaps.append(_gap(scope, name, f"{version}", place.problem, code=ARTIFACT_MISSING))
            continue
        owner = _version_owner(scope, name, version, place.uri)
        is_carried = place.owner is not None and _is_carried(scope, *place.owner)
        # What could not be listed is a gap of the run or logged model that carries it.
        listing = Listing() if is_carried else scope.artifacts.of(owner)
        if scope.artifacts.is_empty(owner) if is_carried else listing.is_empty:
            reason = f"nothing is at {location(place.uri)}"
            contents.gaps.append(_gap(scope, name, f"{version}", reason, code=ARTIFACT_MISSING))
        listing = listing.below(version)
        contents.gaps += listing.gaps
        contents.files += listing.selected(scope.selection)


def _is_carried(scope: Scope, kind: str, entity_id: str) -> bool:
    """Return whether a run or logged model, which exists, is selected."""
    selection = scope.selection
    if not selection.wants_kind(kind) or (selection.everything and selection.deleted):
        return selection.wants_kind(kind)
    if kind == RUN or selection.only_named:
        return bool(scope.selector.among(kind, [entity_id]))
    model, deleted = fetch_model(scope, entity_id)
    in_reach = str(model["info"].get("experiment_id")) in scope.experiment_ids and (selection.deleted or not deleted)
    return in_reach and scope.wants_model(model["info"])


def _version_owner(scope: Scope, name: str, version: int, uri: str) -> Owner:
    def get_file(path: str) -> tuple[str, Any]:
        return "/model-versions/get-artifact", {"name": name, "version": version, "path": path}

    return Owner(kind=REGISTERED_MODEL, id=named_owner(name, scope.workspace), uri=uri, get_file=get_file)


def _is_missing(exc: ServerError) -> bool:
    return exc.error_code == "RESOURCE_DOES_NOT_EXIST" or is_unknown_request(exc)


def _name(scope: Scope, name: str) -> Row:
    return {"name": name, "workspace": scope.workspace}


def _gap(scope: Scope, name: str, path: str, reason: str, *, code: str = OBJECT_UNREADABLE) -> Gap:
    return gap_of(REGISTERED_MODEL, named_owner(name, scope.workspace), path, reason, code=code)
