"""Evaluation datasets, scorers, label schemas, review queues and issues in the database."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds import DEFAULT_WORKSPACE, EVALUATION_DATASET, ISSUE, LABEL_SCHEMA, REVIEW_QUEUE, SCORER
from mlflow_archive.mlflow_database.mapping.model import Root, mapped

_IN_EXPERIMENT: Final = ("experiment_id", "experiments")

EVALUATION_ROOTS: Final = (
    Root(kind=EVALUATION_DATASET, stored_in="evaluation_datasets", root_id="dataset_id"),
    Root(kind=SCORER, stored_in="scorers", root_id="scorer_id", parent=_IN_EXPERIMENT),
    Root(kind=LABEL_SCHEMA, stored_in="label_schemas", root_id="schema_id", parent=_IN_EXPERIMENT),
    Root(kind=REVIEW_QUEUE, stored_in="review_queues", root_id="queue_id", parent=_IN_EXPERIMENT),
    Root(kind=ISSUE, stored_in="issues", root_id="issue_id", parent=_IN_EXPERIMENT),
)

EVALUATION_MAPS: Final = (
    mapped(
        "evaluation_datasets",
        EVALUATION_DATASET,
        "dataset_id",
        "dataset_id name schema profile digest created_time last_update_time created_by last_updated_by workspace",
        defaults={"workspace": DEFAULT_WORKSPACE},
    ),
    mapped("evaluation_dataset_tags", EVALUATION_DATASET, "dataset_id", "dataset_id key value"),
    mapped(
        "evaluation_dataset_records",
        EVALUATION_DATASET,
        "dataset_id",
        "dataset_id dataset_record_id inputs outputs expectations tags source source_id source_type created_time "
        "last_update_time created_by last_updated_by input_hash",
    ),
    mapped(
        "evaluation_dataset_experiments",
        EVALUATION_DATASET,
        "source_id",
        "dataset_id=source_id experiment_id=destination_id association_id created_time",
        stored_in="entity_associations",
        where={"source_type": "evaluation_dataset", "destination_type": "experiment"},
    ),
    mapped("scorers", SCORER, "scorer_id", "scorer_id experiment_id name=scorer_name"),
    mapped("scorer_versions", SCORER, "scorer_id", "scorer_id version=scorer_version serialized_scorer creation_time"),
    mapped(
        "online_scoring_configs",
        SCORER,
        "scorer_id",
        "scorer_id online_scoring_config_id sample_rate experiment_id filter_string",
    ),
    mapped(
        "label_schemas",
        LABEL_SCHEMA,
        "schema_id",
        "schema_id experiment_id name type instruction enable_comment input_type input_config created_by created_time "
        "last_update_time is_default",
        defaults={"is_default": False},
    ),
    mapped(
        "review_queues",
        REVIEW_QUEUE,
        "queue_id",
        "queue_id experiment_id name name_key queue_type created_by creation_time=creation_time_ms "
        "last_update_time=last_update_time_ms",
    ),
    mapped("review_queue_users", REVIEW_QUEUE, "queue_id", "queue_id user_id"),
    mapped(
        "review_queue_items",
        REVIEW_QUEUE,
        "queue_id",
        "queue_id item_id item_type status completed_by completed_time=completed_time_ms "
        "creation_time=creation_time_ms last_update_time=last_update_time_ms",
    ),
    mapped("review_queue_label_schemas", REVIEW_QUEUE, "queue_id", "queue_id schema_id"),
    mapped(
        "issues",
        ISSUE,
        "issue_id",
        "issue_id experiment_id name description status severity root_causes source_run_id categories "
        "created_timestamp last_updated_timestamp created_by",
    ),
)
