"""Registered models with many versions, prompts, webhooks."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookStatus

from tests.support.filling.runs import Runs

DELETED_VERSIONS = (3, 7)
LAST_VERSION = 14
SECRET_WEBHOOK = "MARKER-webhook-secret-7f3a"  # noqa: S105 - what tests look for
SECRET_IN_URL = "MARKER-url-password-19bc"  # noqa: S105


@dataclass(kw_only=True)
class Registry:
    """Names, and ids of webhooks by name. ``versions`` are the numbers that each model or prompt has."""

    models: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    versions: dict[str, list[int]] = field(default_factory=dict)
    webhooks: dict[str, str] = field(default_factory=dict)


def fill_registry(client: MlflowClient, runs: Runs, prefix: str) -> Registry:
    """Make ``many`` (12 versions, gaps in their numbers), ``few``, ``empty`` and three prompts."""
    made = Registry()
    many, few, empty = (f"{prefix}{name}" for name in ("many", "few", "empty"))
    client.create_registered_model(many, tags={"owner": "ü", "long": "z" * 4000}, description="All kinds of sources.")
    for version in range(1, LAST_VERSION + 1):
        _version(client, runs, many, version)
    for version in DELETED_VERSIONS:
        client.delete_model_version(many, str(version))
    for version, stage in ((1, "Archived"), (2, "Staging"), (12, "Production")):
        client.transition_model_version_stage(many, str(version), stage)
    for alias, version in {"champion": 12, "challenger": 9, "first": 1, "again": 12}.items():
        client.set_registered_model_alias(many, alias, str(version))
    client.create_registered_model(few)
    uri = f"models:/{runs.models['alone']}"
    client.create_model_version(few, uri, model_id=runs.models["alone"], await_creation_for=0)
    client.create_registered_model(empty, description="")
    made.models = [many, few, empty]
    kept = [version for version in range(1, LAST_VERSION + 1) if version not in DELETED_VERSIONS]
    made.versions = {many: kept, few: [1], empty: []}
    _prompts(client, made, prefix)
    return made


def _version(client: MlflowClient, runs: Runs, name: str, version: int) -> None:
    parent, deleted, shared = runs.runs["parent"], runs.runs["deleted"], runs.models["shared"]
    proxied = f"{client.get_run(parent).info.artifact_uri}/old-model"
    sources = (
        {"source": f"models:/{shared}", "model_id": shared},
        {"source": f"runs:/{parent}/old-model", "run_id": parent},
        {"source": proxied, "run_id": parent},
        {"source": f"runs:/{deleted}/none", "run_id": deleted},
        {"source": "s3://bucket-of-nobody/models/1"},
    )
    options = {
        "tags": {"number": str(version), "ü": "ü" * version},
        "description": f"Version {version}",
        "run_link": "https://example.com/run" if version == 5 else None,
    }
    client.create_model_version(name, **options, **sources[(version - 1) % len(sources)], await_creation_for=0)


def _prompts(client: MlflowClient, made: Registry, prefix: str) -> None:
    text, chat, formatted = (f"{prefix}{name}" for name in ("text-prompt", "chat-prompt", "formatted-prompt"))
    for version in range(1, 12):
        client.register_prompt(text, f"Hello {{{{name}}}}, {version}", f"Message {version}", tags={"v": str(version)})
    client.delete_prompt_version(text, "2")
    client.set_prompt_alias(text, "live", 11)
    client.set_prompt_tag(text, "owner", "ü")
    template = [{"role": "system", "content": "Be {{mood}}."}, {"role": "user", "content": "{{question}}"}]
    config = {"model_name": "gpt-ü", "temperature": 0.25, "max_tokens": 7}
    client.register_prompt(chat, template, model_config=config)
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    client.register_prompt(formatted, "Say {{it}}", response_format=schema)
    made.prompts = [text, chat, formatted]
    made.versions |= {text: [1, *range(3, 12)], chat: [1], formatted: [1]}


def fill_webhooks(client: MlflowClient, made: Registry, prefix: str) -> None:
    """Make two webhooks with secrets; to be done last, as the server calls them."""
    active = client.create_webhook(
        f"{prefix}active",
        f"https://ada:{SECRET_IN_URL}@127.0.0.1:9/hook",
        ["registered_model.created", "model_version.created"],
        description="Calls nobody.",
        secret=SECRET_WEBHOOK,
    )
    disabled = client.create_webhook(
        f"{prefix}disabled", "https://127.0.0.1:9/", ["prompt.created"], status=WebhookStatus.DISABLED
    )
    made.webhooks = {"active": active.webhook_id, "disabled": disabled.webhook_id}
