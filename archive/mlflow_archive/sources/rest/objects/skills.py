"""Skills of one workspace, with versions, tags, aliases, and the files of what was uploaded.

The server shows no version that is deleted. A token of its lists is good for one query only, so that of another row is
made from the last one it gave.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Final
from urllib.parse import quote

from mlflow_archive.flow.chunk import Chunk, Known
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.kinds import SKILL, TABLES, UPLOADS, named_owner
from mlflow_archive.kinds.owner_id import name_in_workspace
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.rows import pair_rows
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import Row, json_text
from mlflow_archive.sources.rest.lists import Answer, Page, asking, pages
from mlflow_archive.sources.rest.scope import Batch, Contents, Listed, Scope, TableRows, batches, gap_of

PAGE: Final = 100
_SKILLS: Final = "/api/3.0/mlflow/skills"
_TIMES: Final = {"created_at": "creation_timestamp", "last_updated_at": "last_updated_timestamp"}


def plan_skills(scope: Scope) -> Iterator[Batch]:
    """Yield the skills in batches."""
    if scope.everything:
        yield from batches("skills", SKILL, _listed(scope, "", "skills", "name", "organization"), _read)


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


def _read(scope: Scope, listed: Listed, known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, SKILL, listed.gaps)
    for raw in listed.rows:
        named = name_in_workspace({"name": str(raw.get("name")), "organization": str(raw.get("organization") or "")})
        owner = named_owner(named, scope.workspace)
        rows = contents.add(owner, raw, partial(_skill_rows, scope))
        if rows is None:
            continue
        make = partial(_version_rows, {name: rows["skills"][0][name] for name in TABLES["skills"].owner})
        pages = _listed(scope, f"/{quote(named, safe='/@')}/versions", "skill_versions", "version")
        for version in contents.listed(pages, owner, "versions"):
            rows = contents.add(owner, version, make, f"versions {version.get('version')}")
            if rows is not None and scope.selection.artifacts:
                _add_files(scope, owner, rows["skill_versions"][0], contents)
    yield from contents.chunks()


def _add_files(scope: Scope, owner: str, version: Row, contents: Contents) -> None:
    """Add the files of a version that somebody uploaded, and gaps for what cannot be read of them."""
    if not UPLOADS[SKILL].has_files(version):
        return
    listing = scope.artifacts.of(Owner(kind=SKILL, id=owner, uri=version["source"]))
    if listing.is_empty:
        reason = f"nothing is at {version['source']}"
        contents.gaps.append(gap_of(SKILL, owner, str(version["version"]), reason, code=ARTIFACT_MISSING))
    listing = listing.below(version["version"])
    contents.gaps += listing.gaps
    contents.files += listing.selected(scope.selection)


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
    return {"skills": [row], "skill_tags": pair_rows(skill.pairs_with_nulls("tags"), **own), "skill_aliases": aliases}


def _version_rows(own: Row, version: Fields) -> TableRows:
    row = row_of("skill_versions", version, _TIMES, **own)
    version.known("aliases")  # those that the skill names
    tags = pair_rows(version.pairs_with_nulls("tags"), **own, version=row["version"])
    return {"skill_versions": [row], "skill_version_tags": tags}
