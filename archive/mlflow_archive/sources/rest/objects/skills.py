"""Skills of one workspace, with versions, tags, aliases, and the files of what was uploaded.

The server shows no version that is deleted. A token of its lists is good for one query only, so that of another row is
made from the last one it gave.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known
from mlflow_archive.format.gaps import ARTIFACT_MISSING, OBJECT_UNREADABLE
from mlflow_archive.kinds import SKILL, TABLES, identity, owner_id
from mlflow_archive.kinds.skills import is_upload
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import (
    UNREADABLE_ROW,
    Json,
    Row,
    integer,
    json_text,
    location,
    text,
    unexpected_shape,
)
from mlflow_archive.sources.rest.lists import Answer, Page, asking, pages
from mlflow_archive.sources.rest.scope import Batch, Scope, add_rows, batches, chunk_of, gap_of

PAGE: Final = 100
_SKILLS: Final = "/api/3.0/mlflow/skills"


def plan_skills(scope: Scope) -> Iterator[Batch]:
    """Yield the skills in batches."""
    if scope.everything:
        yield from batches("skills", SKILL, _listed(scope, "", "skills", "name", "organization"), partial(_read, scope))


def _listed(scope: Scope, path: str, name: str, *key: str) -> Iterator[Page]:
    """Yield the pages of a list whose rows these fields identify."""
    ask = asking(scope.session, _SKILLS + path, name)
    last_token = ""

    def remembering(size: int, token: str | None, *, careful: bool = False) -> Answer:
        nonlocal last_token
        rows, following = ask(size, token, careful=careful)
        last_token = following or last_token
        return rows, following

    def token_of(offset: int) -> str | None:
        if not offset:
            return None
        query = json.loads(base64.b64decode(last_token)) if last_token else {}
        return base64.b64encode(json.dumps({**query, "offset": offset}).encode()).decode("ascii")

    return pages(remembering, lambda row: tuple(row.get(field) for field in key), size=PAGE, token_of=token_of)


def _read(scope: Scope, skills: Sequence[Json], gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    rows: dict[str, list[Row]] = {}
    files: list[ArtifactFile] = []
    gaps = list(gaps)
    for raw in skills:
        own: Row = {}
        try:
            own |= _owner(scope, raw)
            add_rows(rows, _skill_rows(own, raw))
        except UNREADABLE_ROW as exc:
            gaps.append(_gap(own or {"name": raw.get("name")}, "", unexpected_shape(exc)))
            continue
        for page in _listed(scope, f"/{_path(own)}/versions", "skill_versions", "version"):
            gaps += [_gap(own, f"versions {loss.place}".strip(), loss.reason) for loss in page.losses]
            for version in page.rows:
                _add_version(scope, own, version, rows, files, gaps)
    yield chunk_of(rows, gaps, artifacts=files)


def _add_version(
    scope: Scope, own: Row, raw: Json, rows: dict[str, list[Row]], files: list[ArtifactFile], gaps: list[Gap]
) -> None:
    try:
        new_rows = _version_rows(own, raw)
    except UNREADABLE_ROW as exc:
        gaps.append(_gap(own, f"versions {raw.get('version')}", unexpected_shape(exc)))
        return
    add_rows(rows, new_rows)
    [version] = new_rows["skill_versions"]
    if scope.selection.artifacts and is_upload(version):
        number = version["version"]
        listing = scope.artifacts.of(Owner(kind=SKILL, id=_id(own), uri=version["source"]))
        if not listing.files and not listing.gaps:
            gaps.append(_gap(own, str(number), f"nothing is at {version['source']}", code=ARTIFACT_MISSING))
        gaps += [replace(gap, path=f"{number}/{gap.path}".rstrip("/")) for gap in listing.gaps]
        numbered = [replace(file, path=f"{number}/{file.path}") for file in listing.files]
        files += [file for file in numbered if scope.selection.wants_artifact(file.path, file.size)]


def _owner(scope: Scope, raw: Json) -> Row:
    workspace = str(raw.get("workspace") or scope.workspace)
    return {"name": str(raw["name"]), "workspace": workspace, "organization": str(raw.get("organization") or "")}


def _skill_rows(own: Row, raw: Json) -> dict[str, list[Row]]:
    icons = raw.get("icons")
    skill = {
        **own,
        "description": text(raw.get("description")),
        "icons": None if icons is None else json_text(icons),
        **_created_and_changed(raw),
    }
    aliases = [
        {**own, "alias": str(alias["alias"]), "version": int(alias["version"])} for alias in raw.get("aliases") or []
    ]
    return {"skills": [skill], "skill_tags": [{**own, **tag} for tag in _tags(raw)], "skill_aliases": aliases}


def _version_rows(own: Row, raw: Json) -> dict[str, list[Row]]:
    numbered = {**own, "version": int(raw["version"])}
    version = {
        **numbered,
        "source_type": text(raw.get("source_type")),
        "source": location(raw.get("source")),
        "ref": text(raw.get("ref")),
        "subpath": text(raw.get("subpath")),
        "digest": text(raw.get("digest")),
        "status": str(raw["status"]),
        **_created_and_changed(raw),
    }
    return {"skill_versions": [version], "skill_version_tags": [{**numbered, **tag} for tag in _tags(raw)]}


def _tags(raw: Json) -> list[Row]:
    return [{"key": str(key), "value": text(value)} for key, value in (raw.get("tags") or {}).items()]


def _created_and_changed(raw: Json) -> Row:
    return {
        "created_by": text(raw.get("created_by")),
        "created_at": integer(raw.get("creation_timestamp")),
        "last_updated_by": text(raw.get("last_updated_by")),
        "last_updated_at": integer(raw.get("last_updated_timestamp")),
    }


def _path(own: Row) -> str:
    return quote(identity(own["name"], own["organization"]), safe="/@")


def _id(own: Row) -> str:
    return owner_id(TABLES["skills"], own)


def _gap(own: Row, path: str, reason: str, *, code: str = OBJECT_UNREADABLE) -> Gap:
    return gap_of(SKILL, _id(own) if len(own) > 1 else str(own["name"]), path, reason, code=code)
