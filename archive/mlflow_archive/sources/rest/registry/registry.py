"""The model registry of one workspace, prompts included, with the files of versions that lie in no run or model.

MLflow's searches leave prompts out unless they are asked for, and versions do not show their aliases, so everything
is read in two passes and aliases come from the registered model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known
from mlflow_archive.format import gaps
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN, named_owner
from mlflow_archive.selecting.model_versions import Version, VersionPlaces, dependencies_of, has_files
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, integer, location, text
from mlflow_archive.sources.rest.lists import asking, if_understood, pages
from mlflow_archive.sources.rest.logged_models import fetch_model
from mlflow_archive.sources.rest.paging import start_time_of
from mlflow_archive.sources.rest.runs.runs import fetch_run
from mlflow_archive.sources.rest.scope import Batch, Scope, chunk_of, gaps_of
from mlflow_archive.sources.rest.traces.trace_links import PROMPTS

PAGE: Final = 100
_VERSIONS_PAGE: Final = 500
_SHOWN: Final = 5
_MODELS: Final = "/api/2.0/mlflow/registered-models"
_VERSIONS: Final = "/api/2.0/mlflow/model-versions"


def plan_registry(scope: Scope) -> Iterator[Batch]:
    """Yield the selected registered models in batches."""
    if not (scope.everything or scope.standing is not None):
        return
    number = 0
    for rows, lost in _registered_models(scope):
        wanted = [row for row in rows if scope.standing is None or row.get("name") in scope.standing.names]
        if wanted or lost:
            yield Batch(name=f"registry-{number:05d}", read=partial(_read, scope, wanted, lost))
            number += 1


def stand_on(scopes: Sequence[Scope]) -> None:
    """Find the registered models that are selected by name, and what their versions stand on.

    Raises SelectionError for a name or pattern that matches none.
    """
    selection = scopes[0].selection
    found = {id(scope): [row for rows, _ in _registered_models(scope) for row in rows] for scope in scopes}
    names = list(dict.fromkeys(str(row["name"]) for rows in found.values() for row in rows))
    if unmatched := selection.unmatched_models(names):
        shown = ", ".join(map(repr, names[:_SHOWN])) or "none"
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        missing = ", ".join(map(repr, unmatched))
        raise SelectionError(
            f"no registered model of {scopes[0].session.uri} matches {missing}; there are {shown}{more}"
        )
    for scope in scopes:
        chosen = [str(row["name"]) for row in found[id(scope)] if selection.matches_model(str(row["name"]))]
        registry = _RestRegistry(scope)
        scope.standing = dependencies_of(
            chosen, [each for name in chosen for each in registry.versions(name)[0]], registry
        )


def _registered_models(scope: Scope) -> Iterator[tuple[list[Json], list[Gap]]]:
    """Yield all registered models, then all prompts; a server that knows no prompts gives the same again."""
    seen: set[object] = set()
    for condition in (None, PROMPTS):
        params = {"order_by": ["name ASC"], **({"filter": condition} if condition else {})}
        ask = asking(scope.session, f"{_MODELS}/search", "registered_models", **params)
        for page in pages(if_understood(ask) if condition else ask, lambda row: row.get("name"), size=PAGE):
            fresh = [row for row in page.rows if row.get("name") not in seen]
            seen.update(row.get("name") for row in fresh)
            yield fresh, gaps_of(REGISTERED_MODEL, page.lost)


def _read(scope: Scope, models: Sequence[Json], lost: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    registry = _RestRegistry(scope)
    rows: dict[str, list[Row]] = {}
    files: list[ArtifactFile] = []
    lost = list(lost)
    for raw in models:
        name = str(raw.get("name"))
        try:
            own = _model_rows(scope, raw)
        except UNREADABLE_ROW as exc:
            lost.append(_gap(scope, name, "", f"the server describes it in an unexpected shape: {exc!r}"))
            continue
        versions, unreadable = registry.versions(name)
        lost += unreadable
        own["model_versions"] = [{key: each[key] for key in each if key != "tags"} for each in versions]
        own["model_version_tags"] = [
            {**_name(scope, name), "version": each["version"], **tag} for each in versions for tag in each["tags"]
        ]
        for table, some in own.items():
            rows.setdefault(table, []).extend(some)
        if scope.selection.artifacts:
            found, missing = _files(scope, registry, name, versions)
            files += found
            lost += missing
    if rows or lost:
        yield chunk_of(rows, lost, artifacts=files)


def _model_rows(scope: Scope, raw: Json) -> dict[str, list[Row]]:
    name = _name(scope, str(raw["name"]))
    return {
        "registered_models": [
            {
                **name,
                "creation_time": integer(raw.get("creation_timestamp")),
                "last_updated_time": integer(raw.get("last_updated_timestamp")),
                "description": text(raw.get("description", "")),
            }
        ],
        "registered_model_tags": [
            {**name, "key": str(tag["key"]), "value": text(tag.get("value"))} for tag in raw.get("tags", [])
        ],
        "registered_model_aliases": [
            {**name, "alias": str(each["alias"]), "version": int(each["version"])} for each in raw.get("aliases", [])
        ],
    }


class _RestRegistry:
    """The Registry of a server (see sources.model_versions)."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._versions: dict[str, tuple[list[Row], list[Gap]]] = {}

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        found: dict[str, str | None] = {}
        for each in ids:
            try:
                if kind == LOGGED_MODEL:
                    found[each] = text(fetch_model(self._scope, each)[0]["info"].get("artifact_uri"))
                else:
                    found[each] = text(fetch_run(self._scope.session, each)["info"].get("artifact_uri"))
            except ServerError as exc:
                if exc.status is None:
                    raise
        return found

    def makers(self, models: Collection[str]) -> set[str]:
        found = {fetch_model(self._scope, each)[0]["info"].get("source_run_id") for each in sorted(models)}
        return {str(run_id) for run_id in found if run_id}

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> Version | None:
        if alias is not None:
            version = self._of_alias(name, alias)
        return next((each for each in self.versions(name)[0] if each["version"] == version), None)

    def versions(self, name: str) -> tuple[list[Row], list[Gap]]:
        """Return all versions of a registered model or prompt, in the order of their numbers, with their tags."""
        if name not in self._versions:
            self._versions[name] = self._ask_versions(name)
        return self._versions[name]

    def _ask_versions(self, name: str) -> tuple[list[Row], list[Gap]]:
        rows: dict[int, Row] = {}
        lost: list[Gap] = []
        mark = '"' if "'" in name else "'"
        its = f"name = {mark}{name}{mark}"
        for condition in (its, f"{its} AND {PROMPTS}"):
            params = {"filter": condition, "order_by": ["version_number ASC"]}
            ask = asking(self._scope.session, f"{_VERSIONS}/search", "model_versions", **params)
            for page in pages(
                if_understood(ask) if condition != its else ask, lambda row: row.get("version"), size=_VERSIONS_PAGE
            ):
                lost += [replace(gap, path=gap.path or "versions") for gap in self._lost(name, page.lost)]
                for raw in page.rows:
                    try:
                        row = self._row(name, raw)
                    except UNREADABLE_ROW as exc:
                        reason = f"the server describes it in an unexpected shape: {exc!r}"
                        lost.append(_gap(self._scope, name, f"version {raw.get('version')}", reason))
                    else:
                        rows[row["version"]] = row
        return [rows[number] for number in sorted(rows)], lost

    def _lost(self, name: str, lost: Sequence[Any]) -> list[Gap]:
        return gaps_of(REGISTERED_MODEL, lost, named_owner(name, self._scope.workspace))

    def _row(self, name: str, raw: Json) -> Row:
        source = location(raw.get("source"))
        return {
            **_name(self._scope, name),
            "version": int(raw["version"]),
            "creation_time": integer(raw.get("creation_timestamp")),
            "last_updated_time": integer(raw.get("last_updated_timestamp")),
            "description": text(raw.get("description")),
            "user_id": text(raw.get("user_id")),
            "current_stage": text(raw.get("current_stage")),
            "source": source,
            "storage_location": self._storage_location(name, str(raw["version"]), source),
            "run_id": text(raw.get("run_id")),
            "run_link": text(raw.get("run_link")),
            "status": text(raw.get("status")),
            "status_message": text(raw.get("status_message")),
            "tags": [{"key": str(tag["key"]), "value": text(tag.get("value"))} for tag in raw.get("tags", [])],
        }

    def _storage_location(self, name: str, version: str, source: str | None) -> str | None:
        """Return where the files of a version are kept; the source where the server does not say it."""
        try:
            answer = self._scope.session.get(f"{_VERSIONS}/get-download-uri", {"name": name, "version": version})
        except ServerError as exc:
            if exc.status is None:
                raise
            return source
        return location(answer.get("artifact_uri")) if isinstance(answer, dict) else source

    def _of_alias(self, name: str, alias: str) -> int | None:
        try:
            answer = self._scope.session.get(f"{_MODELS}/alias", {"name": name, "alias": alias})
            return int(answer["model_version"]["version"])
        except ServerError as exc:
            if exc.status is None:
                raise
            return None
        except (KeyError, TypeError, ValueError):
            return None


def _files(
    scope: Scope, registry: _RestRegistry, name: str, versions: Sequence[Row]
) -> tuple[list[ArtifactFile], list[Gap]]:
    """Return the files of versions that lie under no run and no logged model which carries them."""
    with_files = [each for each in versions if has_files(each)]
    places = VersionPlaces(registry, with_files)
    files: list[ArtifactFile] = []
    lost: list[Gap] = []
    for each in with_files:
        place = places.of(each)
        version = each["version"]
        if place.uri is None:
            lost.append(_gap(scope, name, f"{version}", place.problem, code=gaps.ARTIFACT_MISSING))
            continue
        owner = _version_owner(scope, name, version, place.uri)
        nothing = _gap(scope, name, f"{version}", f"nothing is at {location(place.uri)}", code=gaps.ARTIFACT_MISSING)
        if place.owner is not None and _is_carried(scope, *place.owner):
            lost += [nothing] if scope.artifacts.is_empty(owner) else []
            continue  # what could not be listed is told of the run or logged model
        listing = scope.artifacts.of(owner)
        lost += [nothing] if not listing.files and not listing.gaps else []
        lost += [replace(gap, path=f"{version}/{gap.path}".rstrip("/")) for gap in listing.gaps]
        some = [replace(file, path=f"{version}/{file.path}") for file in listing.files]
        files += [file for file in some if scope.selection.wants_artifact(file.path, file.size)]
    return files, lost


def _is_carried(scope: Scope, kind: str, entity_id: str) -> bool:
    """Say whether a run or logged model that is there is selected."""
    selection = scope.selection
    if not selection.wants_kind(kind) or (scope.everything and selection.deleted):
        return selection.wants_kind(kind)
    if kind == RUN:
        run = fetch_run(scope.session, entity_id)
        info, deleted = run["info"], run["info"].get("lifecycle_stage") == "deleted"
        if not selection.in_window(start_time_of(run)):
            return False
    else:
        model, deleted = fetch_model(scope, entity_id)
        info = model["info"]
    return str(info.get("experiment_id")) in scope.experiment_ids and (selection.deleted or not deleted)


def _version_owner(scope: Scope, name: str, version: int, uri: str) -> Owner:
    def get_file(path: str) -> tuple[str, Any]:
        return "/model-versions/get-artifact", {"name": name, "version": version, "path": path}

    return Owner(kind=REGISTERED_MODEL, id=named_owner(name, scope.workspace), uri=uri, get_file=get_file)


def _name(scope: Scope, name: str) -> Row:
    return {"name": name, "workspace": scope.workspace}


def _gap(scope: Scope, name: str, path: str, reason: str, *, code: str = gaps.OBJECT_UNREADABLE) -> Gap:
    owner = named_owner(name, scope.workspace)
    return Gap(owner_kind=REGISTERED_MODEL, owner_id=owner, path=path, code=code, reason=reason)
