"""The rows that make a run or logged model in MLflow's database, deleted for good in one transaction.

They are counted once more within it, behind a lock on the object's own row, for which writers of
rows that belong to it wait.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, text

from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.site import DELETED

_OF_RUN: Final = "source_type = 'DATASET' AND destination_type = 'RUN' AND destination_id = :id"
_TAGS_OF_RUN: Final = f"input_uuid IN (SELECT input_uuid FROM inputs WHERE {_OF_RUN})"  # noqa: S608 - a constant

OWN: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    RUN: (
        ("dataset_input_tags", "input_tags", _TAGS_OF_RUN),
        ("dataset_inputs", "inputs", _OF_RUN),
        ("model_inputs", "inputs", "source_type = 'RUN_INPUT' AND source_id = :id"),
        ("model_outputs", "inputs", "source_type = 'RUN_OUTPUT' AND source_id = :id"),
        ("params", "params", "run_uuid = :id"),
        ("tags", "tags", "run_uuid = :id"),
        ("metrics", "metrics", "run_uuid = :id"),
        ("", "latest_metrics", "run_uuid = :id"),
        ("runs", "runs", "run_uuid = :id"),
    ),
    LOGGED_MODEL: (
        ("logged_model_params", "logged_model_params", "model_id = :id"),
        ("logged_model_tags", "logged_model_tags", "model_id = :id"),
        ("logged_model_metrics", "logged_model_metrics", "model_id = :id"),
        ("logged_models", "logged_models", "model_id = :id"),
    ),
}
"""By kind: table of the archive (empty for what follows from others), table of the database, condition; the last row
is the object itself."""

_NEEDED_BY: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    RUN: (
        ("logged_models", "source_run_id = :id", "a logged model that it made is there"),
        ("logged_model_metrics", "run_id = :id", "points of a logged model come from it"),
        ("issues", "source_run_id = :id", "an issue comes from it"),
        (
            "trace_request_metadata",
            "{key} = 'mlflow.sourceRun' AND value = :id",
            "a trace that was made in it is there",
        ),
        ("entity_associations", "source_id = :id OR destination_id = :id", "a trace is linked to it"),
        ("inputs", "source_id = :id OR destination_id = :id", "it has inputs or outputs of an unknown kind"),
    ),
    LOGGED_MODEL: (
        (
            "inputs",
            "destination_id = :id AND source_id NOT IN (SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted')",
            "a run that is not deleted gave or took it",
        ),
    ),
    TRACE: (
        ("review_queue_items", "item_id = :id", "a review queue has it"),
        ("entity_associations", "source_id = :id OR destination_id = :id", "something is linked to it"),
    ),
}
"""What would lose something by the delete: MLflow's foreign keys take such rows along, or leave them without an end."""


class StillNeededError(Exception):
    """An object is not deleted: its text says why."""


def delete_rows(
    connection: Connection, kind: str, object_id: str, numbers: Mapping[str, int], tables: Collection[str]
) -> None:
    """Delete the rows of an object that is deleted softly, in a transaction of the caller.

    ``numbers`` are those of its rows by table of the archive, ``tables`` those that the database has. Raises
    StillNeededError, upon which the caller rolls back.
    """
    values = {"id": object_id}
    *parts, (_, own_table, is_it) = OWN[kind]
    if connection.dialect.name == "sqlite":
        # A write begins the transaction that keeps all other writers out.
        connection.execute(text(f"UPDATE {own_table} SET lifecycle_stage = lifecycle_stage WHERE {is_it}"), values)  # noqa: S608
    lock = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    stage = text(f"SELECT lifecycle_stage FROM {own_table} WHERE {is_it}{lock}")  # noqa: S608 - names of MLflow's schema
    if connection.execute(stage, values).scalar() != DELETED:
        raise StillNeededError("it is not deleted any more")
    for name, table, condition in parts:
        if table not in tables:
            continue
        number = connection.execute(text(f"DELETE FROM {table} WHERE {condition}"), values).rowcount  # noqa: S608
        if name and number != numbers.get(name, 0):
            raise StillNeededError(f"it has {number} rows of {table}, and the archive {numbers.get(name, 0)}")
    check_unneeded(connection, kind, object_id, tables)
    connection.execute(text(f"DELETE FROM {own_table} WHERE {is_it}"), values)  # noqa: S608


def check_unneeded(connection: Connection, kind: str, object_id: str, tables: Collection[str]) -> None:
    """Raise StillNeededError where something else would lose by the delete of an object whose own rows are gone."""
    for table, condition, reason in _NEEDED_BY[kind]:
        quoted = condition.format(key=connection.dialect.identifier_preparer.quote("key"))
        query = text(f"SELECT count(*) FROM {table} WHERE {quoted}")  # noqa: S608 - names of MLflow's schema
        if table in tables and connection.execute(query, {"id": object_id}).scalar():
            raise StillNeededError(reason)
