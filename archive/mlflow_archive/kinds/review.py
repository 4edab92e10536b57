"""What people review: label schemas, review queues and issues."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import (
    EXPERIMENT,
    ISSUE,
    LABEL_SCHEMA,
    REVIEW_QUEUE,
    RUN,
    TRACE,
    Kind,
    Table,
    flag,
    listing,
    text,
    time,
)

_QUEUE_ID = text("queue_id", "review_queues.queue_id", "Id at the source.")

REVIEW_KINDS: Final = (
    Kind(
        name=LABEL_SCHEMA,
        refers=(EXPERIMENT,),
        word="label-schemas",
        lists=(listing("label-schemas", "schema_id experiment name type input_type"),),
    ),
    Kind(
        name=REVIEW_QUEUE,
        refers=(EXPERIMENT, TRACE, LABEL_SCHEMA),
        word="review-queues",
        lists=(listing("review-queues", "queue_id experiment name queue_type creation_time"),),
    ),
    Kind(
        name=ISSUE,
        refers=(EXPERIMENT, RUN),
        word="issues",
        lists=(listing("issues", "issue_id experiment name status severity created_timestamp"),),
    ),
)

REVIEW_TABLES: Final = (
    Table(
        name="label_schemas",
        entity=LABEL_SCHEMA,
        owner=("schema_id",),
        key=("schema_id",),
        description="Label schemas: what reviewers are asked.",
        columns=(
            text("schema_id", "label_schemas.schema_id", "Id at the source."),
            text("experiment_id", "label_schemas.experiment_id", "Experiment it lies in."),
            text("name", "label_schemas.name", "Name."),
            text("type", "label_schemas.type", "feedback or expectation."),
            text("instruction", "label_schemas.instruction", "Instruction.", null=True),
            flag("enable_comment", "label_schemas.enable_comment", "Whether a comment may be given.", null=False),
            text("input_type", "label_schemas.input_type", "Kind of input."),
            text("input_config", "label_schemas.input_config", "JSON text."),
            text("created_by", "label_schemas.created_by", "Who made it.", null=True),
            time("created_time", "label_schemas.created_time", "When it was made."),
            time("last_update_time", "label_schemas.last_update_time", "When it last changed."),
            flag("is_default", "label_schemas.is_default", "Made by the server itself.", null=False),
        ),
    ),
    Table(
        name="review_queues",
        entity=REVIEW_QUEUE,
        owner=("queue_id",),
        key=("queue_id",),
        description="Review queues.",
        columns=(
            _QUEUE_ID,
            text("experiment_id", "review_queues.experiment_id", "Experiment it lies in."),
            text("name", "review_queues.name", "Name."),
            text("name_key", "review_queues.name_key", "Name in lower case.", null=True),
            text("queue_type", "review_queues.queue_type", "Type."),
            text("created_by", "review_queues.created_by", "Who made it.", null=True),
            time("creation_time", "review_queues.creation_time_ms", "When it was made."),
            time("last_update_time", "review_queues.last_update_time_ms", "When it last changed."),
        ),
    ),
    Table(
        name="review_queue_users",
        entity=REVIEW_QUEUE,
        owner=("queue_id",),
        key=("queue_id", "user_id"),
        description="Who reviews.",
        columns=(_QUEUE_ID, text("user_id", "review_queue_users.user_id", "User.")),
    ),
    Table(
        name="review_queue_items",
        entity=REVIEW_QUEUE,
        owner=("queue_id",),
        key=("queue_id", "item_id"),
        description="What is to be reviewed.",
        columns=(
            _QUEUE_ID,
            text("item_id", "review_queue_items.item_id", "Trace id."),
            text("item_type", "review_queue_items.item_type", "Type."),
            text("status", "review_queue_items.status", "Status."),
            text("completed_by", "review_queue_items.completed_by", "Who finished it.", null=True),
            time("completed_time", "review_queue_items.completed_time_ms", "When."),
            time("creation_time", "review_queue_items.creation_time_ms", "When it was added."),
            time("last_update_time", "review_queue_items.last_update_time_ms", "When it last changed."),
        ),
    ),
    Table(
        name="review_queue_label_schemas",
        entity=REVIEW_QUEUE,
        owner=("queue_id",),
        key=("queue_id", "schema_id"),
        description="Which label schemas a queue uses.",
        columns=(_QUEUE_ID, text("schema_id", "review_queue_label_schemas.schema_id", "Id in `label_schemas`.")),
    ),
    Table(
        name="issues",
        entity=ISSUE,
        owner=("issue_id",),
        key=("issue_id",),
        description="Issues found in traces.",
        columns=(
            text("issue_id", "issues.issue_id", "Id at the source."),
            text("experiment_id", "issues.experiment_id", "Experiment it lies in."),
            text("name", "issues.name", "Name."),
            text("description", "issues.description", "Description."),
            text("status", "issues.status", "Status."),
            text("severity", "issues.severity", "Severity.", null=True),
            text("root_causes", "issues.root_causes", "JSON text.", null=True),
            text("source_run_id", "issues.source_run_id", "Run that found it.", null=True),
            text("categories", "issues.categories", "JSON text.", null=True),
            time("created_timestamp", "issues.created_timestamp", "When it was made."),
            time("last_updated_timestamp", "issues.last_updated_timestamp", "When it last changed."),
            text("created_by", "issues.created_by", "Who made it.", null=True),
        ),
    ),
)
