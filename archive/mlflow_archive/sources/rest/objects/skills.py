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
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.kinds import SKILL, TABLES, identity, named_owner
from mlflow_archive.kinds.skills import is_upload
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import Json, Row, json_text
from mlflow_archive.sources.rest.lists import Answer, Page, asking, pages
from mlflow_archive.sources.rest.scope import Batch, Scope, TableRows, add_rows, batches, chunk_of, gap_of

PAGE: Final = 100
_SKILLS: Final = "/api/3.0/mlflow/skills"
_TIMES: Final = {"created_at": "creation_timestamp", "last_updated_at": "last_updated_timestamp"}


def plan_skills(scope: Scope) -> Iterator[Batch]:
    """Yield the skills in batches."""
    if scope.everything:
        yield from batches("skills", SKILL, _listed(scope, "", "skills", "name", "organization"), partial(_read, scope))


def _listed(scope: Scope, path: str, name: str, *key: str) -> Iterator[Page]:
    """Yield the pages of a list whose rows these fields identify."""
    ask = asking(scope, SKILL, _SKILLS + path, name)
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
        named = identity(str(raw.get("name")), str(raw.get("organization") or ""))
        owner = named_owner(named, scope.workspace)
        own_rows = scope.read(SKILL, owner, raw, partial(_skill_rows, scope), gaps)
        if own_rows is None:
            continue
        add_rows(rows, own_rows)
        own = {name: own_rows["skills"][0][name] for name in TABLES["skills"].owner}
        for page in _listed(scope, f"/{quote(named, safe='/@')}/versions", "skill_versions", "version"):
            gaps += [gap_of(SKILL, owner, f"versions {loss.place}".strip(), loss.reason) for loss in page.losses]
            for version in page.rows:
                make = partial(_version_rows, own)
                new_rows = scope.read(SKILL, owner, version, make, gaps, f"versions {version.get('version')}")
                add_rows(rows, new_rows)
                if new_rows is not None and scope.selection.artifacts:
                    files += _files(scope, owner, new_rows["skill_versions"][0], gaps)
    yield chunk_of(rows, gaps, artifacts=files)


def _files(scope: Scope, owner: str, version: Row, gaps: list[Gap]) -> list[ArtifactFile]:
    """Return the files of a version that somebody uploaded; add gaps for what cannot be read of them."""
    if not is_upload(version):
        return []
    number = version["version"]
    listing = scope.artifacts.of(Owner(kind=SKILL, id=owner, uri=version["source"]))
    if not listing.files and not listing.gaps:
        gaps.append(gap_of(SKILL, owner, str(number), f"nothing is at {version['source']}", code=ARTIFACT_MISSING))
    gaps += [replace(gap, path=f"{number}/{gap.path}".rstrip("/")) for gap in listing.gaps]
    files = [replace(file, path=f"{number}/{file.path}") for file in listing.files]
    return [file for file in files if scope.selection.wants_artifact(file.path, file.size)]


def _skill_rows(scope: Scope, skill: Fields) -> TableRows:
    icons = skill.value("icons")
    own = {
        "name": skill.required("name"),
        "workspace": skill.text("workspace") or scope.workspace,
        "organization": skill.text("organization") or "",
    }
    row = row_of("skills", skill, _TIMES, **own, icons=None if icons is None else json_text(icons))
    skill.known("latest_version", "status", "source_type")  # of its versions
    aliases = [row_of("skill_aliases", alias, **own) for alias in skill.objects("aliases")]
    return {"skills": [row], "skill_tags": _tag_rows(skill, own), "skill_aliases": aliases}


def _version_rows(own: Row, version: Fields) -> TableRows:
    row = row_of("skill_versions", version, _TIMES, **own)
    version.known("aliases")  # those that the skill names
    return {"skill_versions": [row], "skill_version_tags": _tag_rows(version, {**own, "version": row["version"]})}


def _tag_rows(fields: Fields, own: Row) -> list[Row]:
    return [{**own, "key": key, "value": value} for key, value in fields.pairs_with_nulls("tags").items()]
