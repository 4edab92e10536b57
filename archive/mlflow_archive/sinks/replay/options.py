"""What a caller can ask of a replay, and the limits of texts that older MLflow versions have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.source_tags import shorten_key
from mlflow_archive.sinks.replay.names import renamed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The longest texts a target takes, in characters; the defaults are those of MLflow 3.

    ``fillers`` is how many versions at most are made and deleted again, so that a registered model gets its gaps.
    """

    key: int = 250
    param: int = 6000
    tag: int = 8000
    experiment_tag: int = 20000
    experiment_name: int = 500
    run_name: int = 250
    user: int = 256
    dataset_name: int = 500
    dataset_digest: int = 36
    dataset_source_type: int = 36
    dataset_source: int = 65535
    dataset_schema: int = 1048575
    dataset_profile: int = 16777215
    input_tag_key: int = 255
    input_tag: int = 500
    trace_id: int = 50
    client_request_id: int = 50
    trace_preview: int = 1000
    trace_name: int = 4096
    trace_session: int = 250
    trace_tag: int = 8000
    trace_metadata: int = 8000
    assessment_id: int = 50
    assessment_name: int = 250
    evaluation_dataset_name: int = 255
    evaluation_dataset_tag_key: int = 255
    evaluation_dataset_tag: int = 5000
    logged_model_name: int = 500
    logged_model_type: int = 500
    registered_model_name: int = 256
    description: int = 5000
    run_link: int = 500
    registered_model_tag: int = 5000
    model_version_tag: int = 100_000
    fillers: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How to replay.

    ``rename_experiment`` maps source names to target names, a name that ends with ``*`` all that begin so (``names``);
    ``experiment_prefix`` is put before every name, renamed or not; ``rename_model`` and ``model_prefix`` do the same
    for registered models and prompts, ``rename_evaluation_dataset`` and ``evaluation_dataset_prefix`` for evaluation
    datasets. ``merge_models`` appends versions to registered models and prompts that the target has otherwise, with
    ``move_aliases`` so that aliases it has elsewhere follow. ``workspace_prefix`` is
    put before the names of other objects that must be unique in a workspace, with a character between that such names
    may hold. ``user`` says whether runs keep the user of the source or get the one who imports. ``spans_in_table`` says
    whether spans go into the target's table where they stay the same there, or all into files. A dry run writes
    nothing. ``acting_tags`` says whether experiments get the ``mlflow.*`` tags on which a server may act, or only as
    source tags. ``artifact_root`` is where a store without a server keeps the artifacts of new experiments. Everything
    goes into ``workspace``, None for each into a workspace of its own name. ``jobs`` is how many threads write.
    """

    source_tags: bool = True
    rename_experiment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    experiment_prefix: str = ""
    workspace_prefix: str = ""
    rename_model: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    model_prefix: str = ""
    rename_evaluation_dataset: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    evaluation_dataset_prefix: str = ""
    merge_models: bool = False
    move_aliases: bool = False
    user: Literal["source", "importer"] = "source"
    spans_in_table: bool = True
    acting_tags: bool = False
    dry_run: bool = False
    artifact_root: str | None = None
    workspace: str | None = None
    jobs: int = 4
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.move_aliases and not self.merge_models:
            raise SelectionError("--move-aliases goes with --merge-models: all other imports set aliases anyway")

    def behind(self, workspace: str) -> ReplayOptions:
        """Return these options for objects whose names are put behind that of their workspace, if it is not empty."""
        if not workspace:
            return self
        prefix = f"{self.experiment_prefix}{workspace}/"
        models = f"{self.model_prefix}{workspace}."  # names of registered models hold no slash
        return replace(self, experiment_prefix=prefix, model_prefix=models, workspace_prefix=workspace)

    def model_name(self, name: str, workspace: str | None = None) -> str:
        """Return what a registered model or prompt is called in the target, cut to what all its databases hold.

        One of another workspace can be renamed by ``workspace/name``, too.
        """
        own = self.rename_model.get(f"{workspace}/{name}") if workspace else None
        target_name = self.model_prefix + (own or renamed(name, self.rename_model))
        return shorten_key(target_name, self.limits.registered_model_name)

    def experiment_name(self, name: str) -> str:
        """Return what an experiment is called in the target, however long."""
        return self.experiment_prefix + renamed(name, self.rename_experiment)

    def evaluation_dataset_name(self, name: str) -> str:
        """Return what an evaluation dataset is called in the target, however long."""
        return self.evaluation_dataset_prefix + renamed(name, self.rename_evaluation_dataset)


_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_BEFORE: Final[tuple[tuple[tuple[int, int], dict[str, int]], ...]] = (
    ((3, 16), {"experiment_tag": 5000}),
    ((3, 1), {"model_version_tag": 5000}),
    ((2, 17), {"tag": 5000}),
    ((2, 15), {"dataset_schema": 65535}),
    ((2, 8), {"param": 500}),
)
"""(version, the limits of all before it)"""


def limits_of(version: str | None) -> Limits:
    """Return the limits of an MLflow version such as ``2.9.2``; of one that is unknown, those of the newest."""
    parts = _VERSION.match(version or "")
    if parts is None:
        return Limits()
    number = (int(parts[1]), int(parts[2]))
    older = [limits for first, limits in _BEFORE if number < first]
    return replace(Limits(), **{name: limit for limits in older for name, limit in limits.items()})


def fitted_to(options: ReplayOptions, version: str | None) -> ReplayOptions:
    """Return options with the limits of a version, unless the caller has set others."""
    return replace(options, limits=limits_of(version)) if options.limits == Limits() else options
