"""Which number a version of a registered model or prompt of the source has in the target.

Numbers stay, unless versions were appended to a model that the target had otherwise (decision 0026): then the target
says it, by the source tags of the versions there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX
from mlflow_archive.kinds import DEFAULT_WORKSPACE, MODEL_VERSION, named_owner
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.target.target import Api, pairs_of
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import Row

APPENDED: Final = OWN_PREFIX + "appended"
"""Tag of a version that has another number than at the source."""
# Written where source tags are off; it wins, as then source tags are what an earlier import left.
SOURCE_REGISTERED_MODEL: Final = OWN_PREFIX + "source_registered_model"
SOURCE_MODEL_VERSION: Final = OWN_PREFIX + "source_model_version"
IS_PROMPT: Final = "mlflow.prompt.is_prompt"
_SEARCH: Final = "/api/2.0/mlflow/model-versions/search"
_VERSION: Final = re.compile(r"[0-9]{1,10}")


def identity_of_row(row: Row, number: int | None = None) -> str:
    """Return the identity of a registered model, or of its version ``number``: a text that no other has."""
    return _identity(row["workspace"], row["name"], number, row["creation_time"])


def identity_of_tags(tags: Mapping[str, str], *, version: bool) -> str | None:
    """Return the identity that an import left on a registered model or version of the target, None where none did."""
    written = tags.get(SOURCE_MODEL_VERSION if version else SOURCE_REGISTERED_MODEL)
    if written is not None:
        return written
    start = PREFIX + ("model_version." if version else "registered_model.")
    name, number = tags.get(start + "name"), tags.get(start + "version", "")
    if name is None or (version and not _VERSION.fullmatch(number)):
        return None
    created = tags.get(start + "creation_time")
    return _identity(tags.get(start + "workspace", ""), name, int(number) if version else None, created)


def without_time(identity: str) -> str:
    """Return the part of an identity that says where something was: ``workspace/name`` or ``workspace/name/number``."""
    return identity.rpartition("@")[0]


def _identity(workspace: str, name: str, number: int | None, created: object) -> str:
    path = f"{workspace}/{name}" if number is None else f"{workspace}/{name}/{number}"
    return f"{path}@{'' if created is None else created}"


def target_versions(api: Api, name: str, *, is_prompt: bool) -> dict[int, Mapping[str, Any]]:
    """Return the versions of a registered model of the target by number, as MLflow's API shows them."""
    mark = '"' if "'" in name else "'"
    condition = f"name={mark}{name}{mark}" + (f" AND tags.`{IS_PROMPT}` = 'true'" if is_prompt else "")
    versions = entries(lambda page: api.get(_SEARCH, {"filter": condition, **page}), "model_versions")
    return {int(version["version"]): version for version in versions}


def tags_of_version(version: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a version of MLflow's API."""
    return pairs_of(version.get("tags", []))


class VersionNumbers:
    """Looks numbers up; of models that did not come by this import in the target, once. Usable by several threads."""

    def __init__(self, api: Api, options: ReplayOptions, receipt: Receipt) -> None:
        self._api, self._options, self._receipt = api, options, receipt
        self._lock = Lock()
        self._numbers_by_target: dict[tuple[str, bool], dict[str, int]] = {}

    def of(self, name: str, workspace: str | None, number: int, *, is_prompt: bool) -> int | None:
        """Return the number in the target of a version, None where it is not there, or not yet."""
        target = self._receipt.ids(MODEL_VERSION).get(f"{named_owner(name, workspace)}/{number}")
        if target is not None:
            return int(target.rpartition("/")[2])
        if not self._options.merge_models:
            return number
        return self._numbers_there(self._options.model_name(name, workspace), is_prompt).get(
            f"{workspace or DEFAULT_WORKSPACE}/{name}/{number}"
        )

    def _numbers_there(self, target_name: str, is_prompt: bool) -> Mapping[str, int]:
        key = target_name, is_prompt
        with self._lock:
            if key not in self._numbers_by_target:
                versions = target_versions(self._api, target_name, is_prompt=is_prompt)
                identities = {n: identity_of_tags(tags_of_version(v), version=True) for n, v in versions.items()}
                self._numbers_by_target[key] = {
                    without_time(text): number for number, text in identities.items() if text
                }
            return self._numbers_by_target[key]
