"""Prompts: MLflow keeps them as registered models with marks among their tags, and so does an archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlflow_archive.sources.exim.entity import Entity
from mlflow_archive.sources.exim.fields import Fields, Malformed, json_of

# mlflow.prompt.constants
_IS_PROMPT: Final = "mlflow.prompt.is_prompt"
_TEXT: Final = "mlflow.prompt.text"
_TYPE: Final = "_mlflow_prompt_type"
_RESPONSE_FORMAT: Final = "_mlflow_prompt_response_format"
_MODEL_CONFIG: Final = "_mlflow_prompt_model_config"
_SOURCE: Final = "prompt-template"
"""What MLflow itself writes as the source of a version, which a prompt has no use for."""


def add_prompt(entity: Entity, identity: Mapping[str, str], number: int, found: Fields) -> None:
    """Add a version of a prompt, the prompt itself with the first of them."""
    message, description = found.text("commit_message"), found.text("description")
    if "registered_models" not in entity.rows:
        entity.add("registered_models", **identity, description=description if description != message else None)
        entity.add("registered_model_tags", **identity, key=_IS_PROMPT, value="true")
    entity.add(
        "model_versions",
        **identity,
        version=number,
        creation_time=found.time("creation_timestamp"),
        last_updated_time=found.time("last_updated_timestamp"),
        description=description if message is None else message,
        user_id=found.text("user_id"),
        current_stage="None",
        source=_SOURCE,
        status="READY",
    )
    for key, value in {**found.pairs("tags"), **_own_tags(found)}.items():
        entity.add("model_version_tags", **identity, version=number, key=key, value=value)
    found.rest("name", "version", "variables", "uri")


def _own_tags(found: Fields) -> dict[str, str]:
    """Return the tags in which MLflow keeps what a version of a prompt consists of."""
    tags = {_IS_PROMPT: "true"}
    template = found.value("template")
    for name, key in (("response_format", _RESPONSE_FORMAT), ("model_config", _MODEL_CONFIG), ("template", _TEXT)):
        value = found.value(name)
        if value is None:
            continue
        try:
            tags[key] = value if isinstance(value, str) else json_of(value)
        except Malformed as error:
            found.bad(name, str(error))
    if _TEXT in tags:
        tags[_TYPE] = "text" if isinstance(template, str) else "chat"
    else:
        found.bad("template", "there is none")
    return tags
