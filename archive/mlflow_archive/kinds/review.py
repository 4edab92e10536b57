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
    flag,
    listing,
    text,
    time,
)

LABEL_SCHEMAS: Final = Kind(
    name=LABEL_SCHEMA,
    owner=(text("schema_id", "label_schemas.schema_id", "Id at the source."),),
    refers=(EXPERIMENT,),
    word="label-schemas",
    lists=(listing("label-schemas", "schema_id experiment name type input_type"),),
)
REVIEW_QUEUES: Final = Kind(
    name=REVIEW_QUEUE,
    owner=(text("queue_id", "review_queues.queue_id", "Id at the source."),),
    refers=(EXPERIMENT, TRACE, LABEL_SCHEMA),
    word="review-queues",
    lists=(listing("review-queues", "queue_id experiment name queue_type creation_time"),),
)
ISSUES: Final = Kind(
    name=ISSUE,
    owner=(text("issue_id", "issues.issue_id", "Id at the source."),),
    refers=(EXPERIMENT, RUN),
    word="issues",
    lists=(listing("issues", "issue_id experiment name status severity created_timestamp"),),
)

KINDS: Final = (LABEL_SCHEMAS, REVIEW_QUEUES, ISSUES)

TABLES: Final = (
    LABEL_SCHEMAS.table(
        "label_schemas",
        "Label schemas: what reviewers are asked.",
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
    REVIEW_QUEUES.table(
        "review_queues",
        "Review queues.",
        text("experiment_id", "review_queues.experiment_id", "Experiment it lies in."),
        text("name", "review_queues.name", "Name."),
        text("name_key", "review_queues.name_key", "Name in lower case.", null=True),
        text("queue_type", "review_queues.queue_type", "Type."),
        text("created_by", "review_queues.created_by", "Who made it.", null=True),
        time("creation_time", "review_queues.creation_time_ms", "When it was made."),
        time("last_update_time", "review_queues.last_update_time_ms", "When it last changed."),
    ),
    REVIEW_QUEUES.table(
        "review_queue_users",
        "Who reviews.",
        text("user_id", "review_queue_users.user_id", "User."),
        key=("user_id",),
    ),
    REVIEW_QUEUES.table(
        "review_queue_items",
        "What is to be reviewed.",
        text("item_id", "review_queue_items.item_id", "Trace id."),
        text("item_type", "review_queue_items.item_type", "Type."),
        text("status", "review_queue_items.status", "Status."),
        text("completed_by", "review_queue_items.completed_by", "Who finished it.", null=True),
        time("completed_time", "review_queue_items.completed_time_ms", "When."),
        time("creation_time", "review_queue_items.creation_time_ms", "When it was added."),
        time("last_update_time", "review_queue_items.last_update_time_ms", "When it last changed."),
        key=("item_id",),
    ),
    REVIEW_QUEUES.table(
        "review_queue_label_schemas",
        "Which label schemas a queue uses.",
        text("schema_id", "review_queue_label_schemas.schema_id", "Id in `label_schemas`."),
        key=("schema_id",),
    ),
    ISSUES.table(
        "issues",
        "Issues found in traces.",
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
        time("last_seen_timestamp", "issues.last_seen_timestamp", "When it was last seen; since MLflow 3.18."),
        text("last_updated_by", "issues.last_updated_by", "Who changed it; since MLflow 3.18.", null=True),
        text("metadata", "issues.metadata", "JSON text; since MLflow 3.18.", null=True),
    ),
)
