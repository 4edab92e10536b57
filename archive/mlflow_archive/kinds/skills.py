"""The registry of skills: folders of instructions for agents, which MLflow keeps since 3.18."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mlflow_archive.kinds.model import (
    DEFAULT_WORKSPACE,
    WORKSPACE,
    Column,
    Kind,
    identity,
    integer,
    listing,
    made,
    text,
    uri,
)

SKILL: Final = "skill"

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
)

SKILL_KINDS: Final = (SKILLS,)

_VERSION: Final = "version"


def _numbered(table: str) -> Column:
    return integer(_VERSION, f"{table}.version", "Number of the version.")


SKILL_TABLES: Final = (
    SKILLS.table(
        "skills",
        "Skills.",
        text("description", "skills.description", "Description.", null=True),
        text("icons", "skills.icons", "JSON text.", null=True),
        *made("skills"),
    ),
    SKILLS.table(
        "skill_tags",
        "Tags of skills.",
        text("key", "skill_tags.key", "Tag key."),
        text("value", "skill_tags.value", "Tag value.", null=True),
        key=("key",),
    ),
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
    SKILLS.table(
        "skill_version_tags",
        "Tags of versions of skills.",
        _numbered("skill_version_tags"),
        text("key", "skill_version_tags.key", "Tag key."),
        text("value", "skill_version_tags.value", "Tag value.", null=True),
        key=(_VERSION, "key"),
    ),
    SKILLS.table(
        "skill_aliases",
        "Aliases: names for one version.",
        text("alias", "skill_aliases.alias", "Alias."),
        integer(_VERSION, "skill_aliases.version", "Version it stands for."),
        key=("alias",),
    ),
)

UPLOADS: Final = "mlflow-artifacts:/skills/"
"""How the location begins of what somebody uploaded; MLflow's server looks for it in its own artifact store."""

_TOKEN_LENGTH: Final = 32
_OWNER: Final = re.compile(r"((?P<workspace>[a-z0-9][a-z0-9_.-]*)/)?(?P<named>(@[a-z0-9.-]+/)?[a-z0-9-]+)")
_UPLOAD: Final = re.compile(re.escape(UPLOADS) + r"((@[a-z0-9.-]+/)?[a-z0-9-]+)/[0-9a-f]{32}")


def is_upload(version: Mapping[str, Any]) -> bool:
    """Return whether the files of a version lie where MLflow's server puts what is uploaded, and are its alone.

    Any other location of a row, which anybody may have written, is not followed.
    """
    match = _UPLOAD.fullmatch(version["source"] or "")
    named = identity(version["name"], version["organization"])
    return version["source_type"] == "mlflow" and not version["subpath"] and match is not None and match[1] == named


def stored_at(version: Mapping[str, Any]) -> str:
    """Return the URI of the files of an upload in the artifact store as a whole, that of all workspaces."""
    workspace = version["workspace"]
    place: str = version["source"]
    if workspace in (None, "", DEFAULT_WORKSPACE):
        return place
    return place.replace(UPLOADS, f"mlflow-artifacts:/workspaces/{workspace}/skills/", 1)


def folder_of(owner_id: str) -> str | None:
    """Return where MLflow keeps the files of a skill, below the root of all artifacts.

    None for a name that MLflow does not take, and that may lead elsewhere.

    >>> folder_of("@acme/review"), folder_of("team/review"), folder_of("../review")
    ('skills/@acme/review', 'workspaces/team/skills/review', None)
    """
    match = _OWNER.fullmatch(owner_id)
    if match is None:
        return None
    workspace = match["workspace"]
    return f"workspaces/{workspace}/skills/{match['named']}" if workspace else f"skills/{match['named']}"


def folder_of_version(number: str) -> str:
    """Return the folder in that of the skill in which a restore puts the files of a version.

    It has the form of MLflow's own, so that MLflow removes the files with the skill.

    >>> folder_of_version("2")
    '00000000000000000000000000000002'
    """
    return number.rjust(_TOKEN_LENGTH, "0")


def version_of_folder(folder: str) -> str:
    """Return the number of the version whose files lie in such a folder."""
    return folder.lstrip("0")
