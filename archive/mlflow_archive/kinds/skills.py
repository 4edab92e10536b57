"""The registry of skills: folders of instructions for agents, which MLflow keeps since 3.18."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from mlflow_archive.kinds.files import Uploads
from mlflow_archive.kinds.model import WORKSPACE, Column, Derived, Kind, integer, listing, made, text, uri

SKILL: Final = "skill"


def search_texts(skills: pa.Table) -> pa.Array:
    """Return the texts in which MLflow looks for skills: name and description, each run of white space one space."""
    texts = zip(skills["name"].to_pylist(), skills["description"].to_pylist(), strict=True)
    return pa.array([" ".join(f"{name} {description or ''}".split()) for name, description in texts], pa.string())


_SEARCH_TEXT: Final = Derived(
    name="search_text", reason="Follows from name and description; rebuilt by a restore.", of_rows=search_texts
)

UPLOADS: Final = Uploads(folder="skills", versions="skill_versions")

SKILLS: Final = Kind(
    name=SKILL,
    owner=(
        text("name", "skills.name", "Name of the skill."),
        text("workspace", "skills.workspace", "Workspace; `default` where the source has none."),
        text("organization", "skills.organization", "Organization that the name belongs to; empty for none."),
    ),
    refers=(WORKSPACE,),
    word="skills",
    lists=(listing("skills", "name organization description created_at"),),
    files=UPLOADS,
    prefix_mark="-",  # a dot is not taken in a name
    keeps_blank_texts=True,
)

KINDS: Final = (SKILLS,)

_VERSION: Final = "version"


def _numbered(table: str) -> Column:
    return integer(_VERSION, f"{table}.version", "Number of the version.")


TABLES: Final = (
    SKILLS.table(
        "skills",
        "Skills.",
        text("description", "skills.description", "Description.", null=True),
        text("icons", "skills.icons", "JSON text.", null=True),
        *made("skills"),
        derived=(_SEARCH_TEXT,),
    ),
    SKILLS.tags("skill_tags", "Tags of skills."),
    SKILLS.table(
        "skill_versions",
        "Versions of skills, deleted ones too.",
        _numbered("skill_versions"),
        text("source_type", "skill_versions.source_type", "`git`, `oci`, `zip`, or `mlflow` for files.", null=True),
        uri("source", "skill_versions.source", "Where its files are."),
        text("ref", "skill_versions.ref", "Branch, tag or commit of a git source.", null=True),
        text("subpath", "skill_versions.subpath", "Folder in the source.", null=True),
        text("digest", "skill_versions.digest", "SHA-256 that MLflow computed of its files.", null=True),
        text("status", "skill_versions.status", "`draft`, `active`, `deprecated` or `deleted`."),
        *made("skill_versions"),
        key=(_VERSION,),
    ),
    SKILLS.tags("skill_version_tags", "Tags of versions of skills.", _numbered("skill_version_tags")),
    SKILLS.table(
        "skill_aliases",
        "Aliases: names for one version.",
        text("alias", "skill_aliases.alias", "Alias."),
        integer(_VERSION, "skill_aliases.version", "Version it stands for."),
        key=("alias",),
    ),
)
