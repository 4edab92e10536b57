"""The tables of an archive as data (spec/tables.md).

Adding a kind of MLflow object means adding its tables here, a reader that yields them and a writer that takes
them; the archive writer, reader and verifier are driven by this list and know no table by name, but for the
blob index and the artifact list.

>>> TABLES["params"].key
('run_id', 'key')
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import pyarrow as pa

TIMESTAMP: Final = pa.timestamp("ms", tz="UTC")

RUN: Final = "run"
EXPERIMENT: Final = "experiment"
DATASET: Final = "dataset"
BY_ROW: Final = "*"  # the column ``owner_kind`` of each row says which kind owns it


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: ``origin`` names the MLflow table or API field it comes from."""

    name: str
    type: pa.DataType
    nullable: bool
    origin: str
    description: str
    byte_stream_split: bool = False
    delta: bool = False

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.type, self.nullable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One kind of record.

    ``entity`` is the kind that owns a row, and of which the newest export wins (spec/format.md, "Newest export");
    the columns ``owner``, a prefix of ``key``, identify that entity. Where ``entity`` is BY_ROW, each row names the
    kind in ``owner_kind``; where it is None, rows belong to the archive itself and are never superseded.

    Rows are sorted by ``sort``, which starts with ``key``; where ``unique``, two rows with equal keys are one record
    and the first is kept.
    """

    name: str
    entity: str | None
    owner: tuple[str, ...]
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    description: str
    unique: bool = True
    extra_sort: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([c.field for c in self.columns])

    @property
    def sort(self) -> tuple[str, ...]:
        return self.key + self.extra_sort

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)


def _text(name: str, origin: str, description: str, *, null: bool = False) -> Column:
    return Column(name=name, type=pa.string(), nullable=null, origin=origin, description=description)


def _time(name: str, origin: str, description: str, *, null: bool = True) -> Column:
    return Column(name=name, type=TIMESTAMP, nullable=null, origin=origin, description=description)


def _int(name: str, origin: str, description: str, *, null: bool = False, delta: bool = False) -> Column:
    return Column(name=name, type=pa.int64(), nullable=null, origin=origin, description=description, delta=delta)


_EXPERIMENT_ID = _text("experiment_id", "experiments.experiment_id", "Id of the experiment at the source.")
_RUN_ID = _text("run_id", "runs.run_uuid", "Id of the run at the source.")

_TABLES: Final = (
    Table(
        name="experiments",
        entity=EXPERIMENT,
        owner=("experiment_id",),
        key=("experiment_id",),
        description="Experiments, deleted ones too.",
        columns=(
            _EXPERIMENT_ID,
            _text("name", "experiments.name", "Name; a deleted experiment may share it with an active one."),
            _text("artifact_location", "experiments.artifact_location", "Root of new runs at the source.", null=True),
            _text("lifecycle_stage", "experiments.lifecycle_stage", "`active` or `deleted`."),
            _time("creation_time", "experiments.creation_time", "When it was made; null before MLflow 1.30."),
            _time("last_update_time", "experiments.last_update_time", "When name or stage last changed."),
            _text("workspace", "experiments.workspace", "Workspace; null where the source has none.", null=True),
        ),
    ),
    Table(
        name="experiment_tags",
        entity=EXPERIMENT,
        owner=("experiment_id",),
        key=("experiment_id", "key"),
        description="Tags of experiments.",
        columns=(
            _EXPERIMENT_ID,
            _text("key", "experiment_tags.key", "Tag key."),
            _text("value", "experiment_tags.value", "Tag value; null only where a database holds NULL.", null=True),
        ),
    ),
    Table(
        name="runs",
        entity=RUN,
        owner=("run_id",),
        key=("run_id",),
        description="Runs with every field of RunInfo, and what only a database shows.",
        columns=(
            _RUN_ID,
            _text("run_uuid", "RunInfo.run_uuid", "The older name of run_id, where the source states it.", null=True),
            _EXPERIMENT_ID,
            _text("run_name", "runs.name", "Name; null where the source has none.", null=True),
            _text("user_id", "runs.user_id", "User as the source recorded it.", null=True),
            _text("status", "runs.status", "RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.", null=True),
            _time("start_time", "runs.start_time", "Start."),
            _time("end_time", "runs.end_time", "End; null while it runs."),
            _text("lifecycle_stage", "runs.lifecycle_stage", "`active` or `deleted`."),
            _text("artifact_uri", "runs.artifact_uri", "Where the source kept the artifacts.", null=True),
            _time("deleted_time", "runs.deleted_time", "When it was deleted; hidden by the REST API."),
            _text("source_type", "runs.source_type", "Hidden by the REST API.", null=True),
            _text("source_name", "runs.source_name", "Hidden by the REST API.", null=True),
            _text("entry_point_name", "runs.entry_point_name", "Hidden by the REST API.", null=True),
            _text("source_version", "runs.source_version", "Hidden by the REST API.", null=True),
        ),
    ),
    Table(
        name="params",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "key"),
        description="Parameters of runs.",
        columns=(
            _RUN_ID,
            _text("key", "params.key", "Parameter name."),
            _text("value", "params.value", "Parameter value as text."),
        ),
    ),
    Table(
        name="tags",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "key"),
        description="Tags of runs, MLflow's own `mlflow.` tags included.",
        columns=(
            _RUN_ID,
            _text("key", "tags.key", "Tag key."),
            _text("value", "tags.value", "Tag value; null only where a database holds NULL.", null=True),
        ),
    ),
    Table(
        name="metrics",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "key", "step", "timestamp"),
        extra_sort=("value", "dataset_name", "dataset_digest"),
        unique=False,
        description="Metric histories in full. A point logged twice is two rows where the source has both.",
        columns=(
            _RUN_ID,
            _text("key", "metrics.key", "Metric name."),
            _int("step", "metrics.step", "Step; may be negative.", delta=True),
            _time("timestamp", "metrics.timestamp", "When it was logged.", null=False),
            Column(
                name="value",
                type=pa.float64(),
                nullable=False,
                origin="metrics.value, metrics.is_nan",
                description="Value; NaN and infinities as they are. A SQL source has ±1.7976931348623157e308 for ±Inf.",
                byte_stream_split=True,
            ),
            _text("dataset_name", "Metric.dataset_name", "Dataset of the point, where there is one.", null=True),
            _text("dataset_digest", "Metric.dataset_digest", "Digest of that dataset.", null=True),
        ),
    ),
    Table(
        name="datasets",
        entity=DATASET,
        owner=("experiment_id", "name", "digest"),
        key=("experiment_id", "name", "digest"),
        description="Datasets that runs took as input; MLflow keeps one per experiment, name and digest.",
        columns=(
            _EXPERIMENT_ID,
            _text("name", "datasets.name", "Dataset name."),
            _text("digest", "datasets.digest", "Digest as MLflow computed it; not a checksum of ours."),
            _text("dataset_uuid", "datasets.dataset_uuid", "Hidden by the REST API.", null=True),
            _text("source_type", "datasets.dataset_source_type", "Kind of source."),
            _text("source", "datasets.dataset_source", "Source as JSON text, unchanged."),
            _text("schema", "datasets.dataset_schema", "Schema as JSON text, unchanged.", null=True),
            _text("profile", "datasets.dataset_profile", "Profile as JSON text, unchanged.", null=True),
        ),
    ),
    Table(
        name="dataset_inputs",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "dataset_name", "dataset_digest"),
        description="Which run took which dataset of its experiment as input.",
        columns=(
            _RUN_ID,
            _text("dataset_name", "datasets.name", "Name in `datasets`, in the run's experiment."),
            _text("dataset_digest", "datasets.digest", "Digest in `datasets`."),
            _text("input_uuid", "inputs.input_uuid", "Hidden by the REST API.", null=True),
        ),
    ),
    Table(
        name="dataset_input_tags",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "dataset_name", "dataset_digest", "key"),
        description="Tags of a dataset input, such as `mlflow.data.context`.",
        columns=(
            _RUN_ID,
            _text("dataset_name", "datasets.name", "Name in `datasets`."),
            _text("dataset_digest", "datasets.digest", "Digest in `datasets`."),
            _text("key", "input_tags.name", "Tag key."),
            _text("value", "input_tags.value", "Tag value."),
        ),
    ),
    Table(
        name="artifacts",
        entity=BY_ROW,
        owner=("owner_id",),
        key=("owner_id", "owner_kind", "path"),
        description="Artifact files. The bytes are the blob named by `digest`.",
        columns=(
            _text("owner_id", "runs.run_uuid", "Id of the object the file belongs to."),
            _text("owner_kind", "", "Kind of that object: `run`."),
            _text("path", "artifact path", "Path below the owner's artifact root, `/` between parts."),
            _int("size", "FileInfo.file_size", "Size of the raw bytes."),
            _text("digest", "", "SHA-256 of the raw bytes, lower-case hex; a blob of the table `blobs`."),
        ),
    ),
    Table(
        name="gaps",
        entity=BY_ROW,
        owner=("owner_id",),
        key=("owner_id", "owner_kind", "path", "code"),
        description="What the export could not read. No rows: nothing is known to be missing.",
        columns=(
            _text("owner_id", "", "Id of the object that lacks something."),
            _text("owner_kind", "", "Kind of that object: `run` or `experiment`."),
            _text("path", "", "Artifact path, or the field that could not be read."),
            _text("code", "", "Gap code (spec/problems.md)."),
            _text("reason", "", "What happened, for a person."),
        ),
    ),
    Table(
        name="fingerprints",
        entity=BY_ROW,
        owner=("owner_id",),
        key=("owner_id", "owner_kind"),
        description="What an entity looked like when it was read, so that a later export can skip it unchanged.",
        columns=(
            _text("owner_id", "", "Id of the object."),
            _text("owner_kind", "", "Kind of that object: `run`."),
            _text("fingerprint", "", 'SHA-256 in hex (spec/format.md, "Fingerprints").'),
        ),
    ),
    Table(
        name="blobs",
        entity=None,
        owner=("digest",),
        key=("digest", "raw_offset"),
        description="The blob index: which piece of which blob lies where. An empty blob has one extent of size 0.",
        columns=(
            _text("digest", "", "SHA-256 of the whole blob's raw bytes, lower-case hex."),
            _int("raw_offset", "", "Where this extent starts in the raw blob, bytes."),
            _int("raw_size", "", "Raw size of this extent, bytes."),
            _text("pack", "", "Member path of the pack."),
            _int("frame_offset", "", "Where the zstd frame starts in the pack, bytes."),
            _int("frame_size", "", "Size of the compressed frame, bytes."),
            _int("offset_in_frame", "", "Where the extent starts in the decompressed frame, bytes."),
        ),
    ),
)

TABLES: Final = MappingProxyType({table.name: table for table in _TABLES})


def empty_table(name: str) -> pa.Table:
    """Return the table of that name with no rows."""
    return TABLES[name].schema.empty_table()
