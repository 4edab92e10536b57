"""Source tags: what an import cannot keep, as tags under ``mlflow_export_import.`` (docs of mlflow-export-import).

Pure: computed from archived facts only, no clock and no target, so the same archive gives the same tags for ever.

    mlflow_export_import.mlflow.*       every source tag that starts with ``mlflow.``, the prefix kept once
    mlflow_export_import.run_info.*     every field of the source's RunInfo, as text
    mlflow_export_import.metadata.*     where and when it was exported
    mlflow_export_import.experiment.*   on experiments: every column of the table ``experiments``
    mlflow_export_import.<kind>.*       on logged models, traces, registered models, model versions: theirs
    mlflow_export_import.param.*        on runs: params that are too long for one, whole, where a tag holds them
    mlflow_export_import.lineage.N.*    what an import N hops before left (``lineage_tags``)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

PREFIX: Final = "mlflow_export_import."
OWN_PREFIX: Final = "mlflow_archive."
EXIM_PREFIX: Final = "mlflow_exim."
"""What releases of mlflow-export-import write since 2023."""
LINEAGE: Final = PREFIX + "lineage."
SOURCE_RUN_ID: Final = PREFIX + "run_info.run_id"
SOURCE_EXPERIMENT_ID: Final = PREFIX + "experiment.experiment_id"

_RUN_INFO: Final = (
    "run_id",
    "run_uuid",
    "run_name",
    "experiment_id",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "lifecycle_stage",
    "artifact_uri",
)
_EXPERIMENT: Final = (
    "experiment_id",
    "name",
    "artifact_location",
    "lifecycle_stage",
    "creation_time",
    "last_update_time",
    "workspace",
)
EXPORTED: Final = f"{PREFIX}metadata.timestamp"
OF_THE_EXPORT: Final = frozenset({EXPORTED, f"{EXPORTED}_nice", f"{PREFIX}metadata.mlflow_version"})
"""The source tags that each export of the same object may have other values of."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OLDER_LINEAGE = re.compile(re.escape(LINEAGE) + r"([1-9][0-9]{0,8})\.(.*)", re.DOTALL)
_DIGEST_CHARS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts:
    """Of the export that holds an entity: ``exported_ms`` is its time in ms since the epoch; None is unknown."""

    tracking_uri: str
    mlflow_version: str | None = None
    exported_ms: int | None = None


def run_source_tags(
    run: Mapping[str, object], tags: Mapping[str, str | None], *, experiment_name: str, export: ExportFacts
) -> dict[str, str]:
    """Return the source tags of a run.

    ``run`` is a row of the table ``runs`` with times in ms; columns that are None give no tag, an empty string does.
    ``tags`` are the run's tags at the source; ``experiment_name`` the name of its experiment there.
    """
    return {
        **lineage_tags(tags),
        **_system_tags(tags),
        **_columns("run_info", run, _RUN_INFO),
        **_metadata(experiment_name, export),
    }


def experiment_source_tags(
    experiment: Mapping[str, object], tags: Mapping[str, str | None], *, export: ExportFacts
) -> dict[str, str]:
    """Return the source tags of an experiment: a row of the table ``experiments`` with times in ms, and its tags."""
    return {
        **lineage_tags(tags),
        **_system_tags(tags),
        **_columns("experiment", experiment, _EXPERIMENT),
        **_metadata(str(experiment["name"]), export),
    }


def object_source_tags(
    group: str,
    row: Mapping[str, object],
    tags: Mapping[str, str | None],
    *,
    export: ExportFacts,
    experiment_name: str | None = None,
) -> dict[str, str]:
    """Return the source tags of an object of any other kind that has tags.

    ``row`` is its row in the identity table of its kind, times in ms, each column that is not None becomes
    ``mlflow_export_import.<group>.<column>``; ``group`` is ``logged_model``, ``trace``, ``registered_model`` or
    ``model_version``. ``experiment_name`` is None for what lies in no experiment.
    """
    return {
        **lineage_tags(tags),
        **_system_tags(tags),
        **_columns(group, row, tuple(row)),
        **_metadata(experiment_name, export),
    }


def left_by_import(key: str) -> bool:
    """Return whether a tag was written by an import into the source: it is carried as lineage, not as it is."""
    return key.startswith((PREFIX, OWN_PREFIX, EXIM_PREFIX))


def lineage_tags(tags: Mapping[str, str | None]) -> dict[str, str]:
    """Return what earlier imports left in ``tags``, moved one hop back.

    ``mlflow_export_import.lineage.<n>.<rest>``, n a whole number from 1, of at most nine digits, without leading zeros,
    becomes ``mlflow_export_import.lineage.<n+1>.<rest>``. Any other ``mlflow_export_import.<rest>`` becomes
    ``mlflow_export_import.lineage.1.<rest>``. ``mlflow_archive.<rest>``, which this tool writes where source tags are
    off, and ``mlflow_exim.<rest>``, the dialect of newer releases of mlflow-export-import, keep their own prefix behind
    that: ``mlflow_export_import.lineage.1.mlflow_exim.<rest>``. So on a run that made three hops ``lineage.2`` is what
    the first import wrote, ``lineage.1`` the second, and the plain sets the third.
    """
    return {_one_hop_back(key): value or "" for key, value in tags.items() if left_by_import(key)}


def _one_hop_back(key: str) -> str:
    older = _OLDER_LINEAGE.fullmatch(key)
    if older:
        return f"{LINEAGE}{int(older[1]) + 1}.{older[2]}"
    return f"{LINEAGE}1.{key.removeprefix(PREFIX)}"


def _system_tags(tags: Mapping[str, str | None]) -> dict[str, str]:
    return {PREFIX + key: value or "" for key, value in tags.items() if key.startswith("mlflow.")}


def _columns(group: str, row: Mapping[str, object], names: tuple[str, ...]) -> dict[str, str]:
    return {f"{PREFIX}{group}.{name}": str(row[name]) for name in names if row.get(name) is not None}


def _metadata(experiment_name: str | None, export: ExportFacts) -> dict[str, str]:
    facts = {"tracking_uri": export.tracking_uri}
    if experiment_name is not None:
        facts["experiment_name"] = experiment_name
    if export.mlflow_version is not None:
        facts["mlflow_version"] = export.mlflow_version
    stated = {f"{PREFIX}metadata.{name}": value for name, value in facts.items()}
    return stated if export.exported_ms is None else {**stated, **moment_tags(export.exported_ms // 1000)}


def moment_tags(seconds: int) -> dict[str, str]:
    """Return the tags that say when an export was made, in seconds since the epoch."""
    tags = {EXPORTED: str(seconds)}
    with suppress(OverflowError):  # beyond the year 9999 it has no such form
        tags[f"{EXPORTED}_nice"] = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
    return tags


def beyond_the_export(differing: Mapping[str, str], existing: Mapping[str, str]) -> dict[str, str]:
    """Return the tags to set on an object of a target, of those in which it differs; ``existing`` are its own.

    None where all that differs is by which export it came: what is as it was keeps what the export says that brought
    it, so that a newer export of the same changes nothing.
    """
    return {} if differing.keys() <= OF_THE_EXPORT & existing.keys() else dict(differing)


def shorten(text: str, limit: int) -> str:
    """Return ``text``, or where it has more than ``limit`` characters its start and ``…sha256:<16 hex>`` of it all."""
    return _cut(text, limit, "…sha256:")


def shorten_key(key: str, limit: int) -> str:
    """Return a key as ``shorten`` does, but with ``.sha256.``, as MLflow refuses ``…`` in keys."""
    return _cut(key, limit, ".sha256.")


def _cut(text: str, limit: int, mark: str) -> str:
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return text[: limit - len(mark) - _DIGEST_CHARS] + mark + digest
