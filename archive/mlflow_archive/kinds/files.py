"""Where the files of an object lie, as MLflow lays them out: a fact of its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.kinds.owner_id import DEFAULT_WORKSPACE, name_in_workspace

_PROXY: Final = "mlflow-artifacts:/"
_TOKEN_LENGTH: Final = 32
_NAME: Final = r"(@[a-z0-9.-]+/)?[a-z0-9-]+"
_OWNER: Final = re.compile(rf"((?P<workspace>[a-z0-9][a-z0-9_.-]*)/)?(?P<name>{_NAME})")
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFiles:
    """Files of objects that lie in an experiment: below ``<experiment>/<folder><id>/artifacts``.

    Where ``versions`` names a table, they are files of versions, with paths ``version/path`` in an archive.
    """

    folder: str = ""
    versions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads(ObjectFiles):
    """Files of versions that somebody uploaded to MLflow's server, which keeps them in its own artifact store.

    They lie in ``<folder>/<name>/<token>``, the name as ``name_in_workspace`` has it, and the token 32 digits in hex.
    """

    def has_files(self, version: Mapping[str, Any]) -> bool:
        """Return whether the files of a version lie where MLflow's server puts what is uploaded, and are its alone.

        Any other location of a row, which anybody may have written, is not followed.
        """
        name = name_in_workspace(version)
        folder, _, token = (version["source"] or "").rpartition("/")
        is_own = folder == f"{_PROXY}{self.folder}/{name}" and _TOKEN.fullmatch(token) and re.fullmatch(_NAME, name)
        return version["source_type"] == "mlflow" and not version["subpath"] and bool(is_own)

    def stored_at(self, version: Mapping[str, Any]) -> str:
        """Return the URI of the files of a version in the artifact store as a whole, that of all workspaces."""
        workspace = version["workspace"]
        place: str = version["source"]
        if workspace in (None, "", DEFAULT_WORKSPACE):
            return place
        return place.replace(_PROXY, f"{_PROXY}workspaces/{workspace}/", 1)

    def folder_of(self, owner_id: str) -> str | None:
        """Return where MLflow keeps the files of an object, below the root of all artifacts.

        None for a name that MLflow does not take, and that may lead elsewhere.

        >>> [Uploads(folder="skills").folder_of(name) for name in ("@acme/review", "team/review", "../review")]
        ['skills/@acme/review', 'workspaces/team/skills/review', None]
        """
        match = _OWNER.fullmatch(owner_id)
        if match is None:
            return None
        folder = f"{self.folder}/{match['name']}"
        return f"workspaces/{match['workspace']}/{folder}" if match["workspace"] else folder

    def folder_of_version(self, number: str) -> str:
        """Return the folder in that of the object in which a restore puts the files of a version.

        It has the form of MLflow's own, so that MLflow removes the files with the object.

        >>> Uploads().folder_of_version("2")
        '00000000000000000000000000000002'
        """
        return number.rjust(_TOKEN_LENGTH, "0")

    def address(self, parts: Sequence[str]) -> tuple[str, str] | None:
        """Return whose file lies at some parts of a path below ``folder``, and its path in an archive.

        >>> Uploads().address(["@acme", "review", "0002", "SKILL.md"])
        ('@acme/review', '2/SKILL.md')
        """
        at = 2 if parts[:1] and parts[0].startswith("@") else 1
        if len(parts) <= at:
            return None
        return "/".join(parts[:at]), "/".join((parts[at].lstrip("0"), *parts[at + 1 :]))
