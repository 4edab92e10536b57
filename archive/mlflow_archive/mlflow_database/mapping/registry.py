"""The model registry, webhooks and workspaces in the database."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from mlflow_archive.kinds import DEFAULT_WORKSPACE, REGISTERED_MODEL, WEBHOOK, WORKSPACE
from mlflow_archive.mlflow_database.mapping.model import Root, mapped

REGISTRY_ROOTS: Final = (
    Root(kind=REGISTERED_MODEL, stored_in="registered_models", root_id="name"),
    Root(kind=WEBHOOK, stored_in="webhooks", root_id="webhook_id"),
    Root(kind=WORKSPACE, stored_in="workspaces", root_id="name"),
)

_IN_WORKSPACE: Final = MappingProxyType({"workspace": DEFAULT_WORKSPACE})

REGISTRY_MAPS: Final = (
    mapped(
        "registered_models",
        REGISTERED_MODEL,
        "name",
        "name workspace creation_time last_updated_time description",
        defaults=_IN_WORKSPACE,
    ),
    mapped("registered_model_tags", REGISTERED_MODEL, "name", "name workspace key value", defaults=_IN_WORKSPACE),
    mapped(
        "registered_model_aliases", REGISTERED_MODEL, "name", "name workspace alias version", defaults=_IN_WORKSPACE
    ),
    mapped(
        "model_versions",
        REGISTERED_MODEL,
        "name",
        "name workspace version creation_time last_updated_time description user_id current_stage source "
        "storage_location run_id run_link status status_message",
        defaults=_IN_WORKSPACE,
    ),
    mapped("model_version_tags", REGISTERED_MODEL, "name", "name workspace version key value", defaults=_IN_WORKSPACE),
    mapped(
        "webhooks",
        WEBHOOK,
        "webhook_id",
        "webhook_id name description url status creation_timestamp last_updated_timestamp deleted_timestamp workspace",
        defaults=_IN_WORKSPACE,
        not_carried={"secret": "Secrets are never archived."},
    ),
    mapped("webhook_events", WEBHOOK, "webhook_id", "webhook_id entity action"),
    mapped(
        "workspaces",
        WORKSPACE,
        "name",
        "name description default_artifact_root trace_archival_location trace_archival_retention",
    ),
)
