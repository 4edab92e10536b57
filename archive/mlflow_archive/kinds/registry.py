"""The model registry with prompts, which MLflow keeps as registered models with a mark among the tags; webhooks."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.files import ObjectFiles
from mlflow_archive.kinds.model import (
    LOGGED_MODEL,
    MODEL_VERSION,
    REGISTERED_MODEL,
    RUN,
    WEBHOOK,
    WORKSPACE,
    Kind,
    integer,
    listing,
    text,
    time,
    uri,
)

REGISTERED_MODELS: Final = Kind(
    name=REGISTERED_MODEL,
    owner=(
        text("name", "registered_models.name", "Name of the registered model or prompt."),
        text("workspace", "registered_models.workspace", "Workspace; `default` where the source has none."),
    ),
    refers=(RUN, LOGGED_MODEL),
    word="registry",
    lists=(
        listing(
            "models",
            "name versions creation_time last_updated_time description",
            note="registered ones, and prompts",
            also="registered-models",
        ),
        listing(
            "prompts",
            "name versions creation_time last_updated_time description",
            filter="tags.`mlflow.prompt.is_prompt` = 'true'",
        ),
        listing("model-versions", "name version current_stage status run_id source", of=MODEL_VERSION, also="versions"),
    ),
    files=ObjectFiles(versions="model_versions"),
    keeps_blank_texts=True,
)
WEBHOOKS: Final = Kind(
    name=WEBHOOK,
    owner=(text("webhook_id", "webhooks.webhook_id", "Id at the source."),),
    refers=(WORKSPACE,),
    word="webhooks",
    lists=(listing("webhooks", "webhook_id name url status"),),
)

KINDS: Final = (REGISTERED_MODELS, WEBHOOKS)

TABLES: Final = (
    REGISTERED_MODELS.table(
        "registered_models",
        "Registered models and prompts.",
        time("creation_time", "registered_models.creation_time", "When it was made."),
        time("last_updated_time", "registered_models.last_updated_time", "When it last changed."),
        text("description", "registered_models.description", "Description.", null=True),
    ),
    REGISTERED_MODELS.tags("registered_model_tags", "Tags of registered models and prompts."),
    REGISTERED_MODELS.table(
        "registered_model_aliases",
        "Aliases: names for one version.",
        text("alias", "registered_model_aliases.alias", "Alias."),
        integer("version", "registered_model_aliases.version", "Version it stands for."),
        key=("alias",),
    ),
    REGISTERED_MODELS.table(
        "model_versions",
        "Versions; deleted ones, which the REST API hides, as rows in the stage `Deleted_Internal`.",
        integer("version", "model_versions.version", "Number; numbers may have gaps."),
        time("creation_time", "model_versions.creation_time", "When it was made."),
        time("last_updated_time", "model_versions.last_updated_time", "When it last changed."),
        text("description", "model_versions.description", "Description.", null=True),
        text("user_id", "model_versions.user_id", "User, where one was recorded.", null=True),
        text("current_stage", "model_versions.current_stage", "Stage.", null=True),
        uri("source", "model_versions.source", "Where the model was when it was registered."),
        uri("storage_location", "model_versions.storage_location", "Where its files are kept."),
        text("run_id", "model_versions.run_id", "Run that made it.", null=True),
        uri("run_link", "model_versions.run_link", "Link to a run elsewhere."),
        text("status", "model_versions.status", "READY or what it waits for.", null=True),
        text("status_message", "model_versions.status_message", "More about the status.", null=True),
        key=("version",),
    ),
    REGISTERED_MODELS.tags(
        "model_version_tags",
        "Tags of versions; a prompt's text is the tag `mlflow.prompt.text`.",
        integer("version", "model_version_tags.version", "Version."),
    ),
    WEBHOOKS.table(
        "webhooks",
        "Webhooks, never their secrets.",
        text("name", "webhooks.name", "Name."),
        text("description", "webhooks.description", "Description.", null=True),
        uri("url", "webhooks.url", "Where it calls; without user and password.", null=False),
        text("status", "webhooks.status", "ACTIVE or DISABLED."),
        time("creation_timestamp", "webhooks.creation_timestamp", "When it was made."),
        time("last_updated_timestamp", "webhooks.last_updated_timestamp", "When it last changed."),
        time("deleted_timestamp", "webhooks.deleted_timestamp", "When it was deleted; hidden by the REST API."),
        text("workspace", "webhooks.workspace", "Workspace.", null=True),
    ),
    WEBHOOKS.table(
        "webhook_events",
        "What a webhook listens to.",
        text("entity", "webhook_events.entity", "Kind of thing."),
        text("action", "webhook_events.action", "What happens to it."),
        owner=(text("webhook_id", "webhook_events.webhook_id", "Id at the source."),),
        key=("entity", "action"),
    ),
)
