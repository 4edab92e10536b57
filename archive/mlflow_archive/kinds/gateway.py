"""The AI gateway's configuration. Of secrets only that they exist: no key, encrypted or masked, is ever archived."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import (
    BUDGET_POLICY,
    EXPERIMENT,
    GATEWAY_ENDPOINT,
    GATEWAY_SECRET,
    GUARDRAIL,
    MODEL_DEFINITION,
    SCORER,
    WORKSPACE,
    Column,
    Kind,
    Table,
    flag,
    integer,
    listing,
    real,
    text,
    time,
)


def _made(table: str) -> tuple[Column, ...]:
    """Return who made and changed a row, when, and its workspace."""
    return (
        text("created_by", f"{table}.created_by", "Who made it.", null=True),
        time("created_at", f"{table}.created_at", "When it was made."),
        text("last_updated_by", f"{table}.last_updated_by", "Who changed it.", null=True),
        time("last_updated_at", f"{table}.last_updated_at", "When it last changed."),
        text("workspace", f"{table}.workspace", "Workspace.", null=True),
    )


_ENDPOINT_ID = text("endpoint_id", "endpoints.endpoint_id", "Id at the source.")
_GUARDRAIL_ID = text("guardrail_id", "guardrails.guardrail_id", "Id at the source.")

GATEWAY_KINDS: Final = (
    Kind(
        name=GATEWAY_SECRET,
        refers=(WORKSPACE,),
        word="gateway",
        lists=(listing("gateway-secrets", "secret_id secret_name provider created_at", note="their names"),),
    ),
    Kind(
        name=MODEL_DEFINITION,
        refers=(GATEWAY_SECRET,),
        word="gateway",
        lists=(listing("model-definitions", "model_definition_id name provider model_name"),),
    ),
    Kind(
        name=GATEWAY_ENDPOINT,
        refers=(EXPERIMENT, MODEL_DEFINITION),
        word="gateway",
        lists=(listing("gateway-endpoints", "endpoint_id name experiment routing_strategy"),),
    ),
    Kind(
        name=GUARDRAIL,
        refers=(SCORER, GATEWAY_ENDPOINT),
        word="gateway",
        lists=(listing("guardrails", "guardrail_id name stage action"),),
    ),
    Kind(
        name=BUDGET_POLICY,
        refers=(GATEWAY_ENDPOINT,),
        word="gateway",
        lists=(listing("budget-policies", "budget_policy_id budget_unit budget_amount budget_action"),),
    ),
)

GATEWAY_TABLES: Final = (
    Table(
        name="gateway_secrets",
        entity=GATEWAY_SECRET,
        owner=("secret_id",),
        key=("secret_id",),
        description="Names of gateway secrets, without the secrets: after an import they must be entered again.",
        columns=(
            text("secret_id", "secrets.secret_id", "Id at the source."),
            text("secret_name", "secrets.secret_name", "Name."),
            text("provider", "secrets.provider", "Provider.", null=True),
            text("description", "secrets.description", "Description.", null=True),
            *_made("secrets"),
        ),
    ),
    Table(
        name="gateway_endpoints",
        entity=GATEWAY_ENDPOINT,
        owner=("endpoint_id",),
        key=("endpoint_id",),
        description="Gateway endpoints.",
        columns=(
            _ENDPOINT_ID,
            text("name", "endpoints.name", "Name.", null=True),
            text("routing_strategy", "endpoints.routing_strategy", "How a model is chosen.", null=True),
            text("fallback_config", "endpoints.fallback_config_json", "JSON text.", null=True),
            text("experiment_id", "endpoints.experiment_id", "Experiment of its traces.", null=True),
            flag("usage_tracking", "endpoints.usage_tracking", "Whether use is traced."),
            *_made("endpoints"),
        ),
    ),
    Table(
        name="gateway_endpoint_tags",
        entity=GATEWAY_ENDPOINT,
        owner=("endpoint_id",),
        key=("endpoint_id", "key"),
        description="Tags of gateway endpoints.",
        columns=(
            _ENDPOINT_ID,
            text("key", "endpoint_tags.key", "Tag key."),
            text("value", "endpoint_tags.value", "Tag value.", null=True),
        ),
    ),
    Table(
        name="gateway_endpoint_models",
        entity=GATEWAY_ENDPOINT,
        owner=("endpoint_id",),
        key=("endpoint_id", "mapping_id"),
        description="Model definitions of an endpoint.",
        columns=(
            _ENDPOINT_ID,
            text("mapping_id", "endpoint_model_mappings.mapping_id", "Id at the source."),
            text("model_definition_id", "endpoint_model_mappings.model_definition_id", "Id in `model_definitions`."),
            real("weight", "endpoint_model_mappings.weight", "Share of the traffic.", null=False),
            text("linkage_type", "endpoint_model_mappings.linkage_type", "PRIMARY or FALLBACK.", null=True),
            integer("fallback_order", "endpoint_model_mappings.fallback_order", "Order.", null=True),
            text("created_by", "endpoint_model_mappings.created_by", "Who made it.", null=True),
            time("created_at", "endpoint_model_mappings.created_at", "When it was made."),
        ),
    ),
    Table(
        name="gateway_endpoint_bindings",
        entity=GATEWAY_ENDPOINT,
        owner=("endpoint_id",),
        key=("endpoint_id", "resource_type", "resource_id"),
        description="What uses an endpoint.",
        columns=(
            _ENDPOINT_ID,
            text("resource_type", "endpoint_bindings.resource_type", "Kind of user, such as `scorer`."),
            text("resource_id", "endpoint_bindings.resource_id", "Its id."),
            text("display_name", "endpoint_bindings.display_name", "Name shown.", null=True),
            text("created_by", "endpoint_bindings.created_by", "Who made it.", null=True),
            time("created_at", "endpoint_bindings.created_at", "When it was made."),
            text("last_updated_by", "endpoint_bindings.last_updated_by", "Who changed it.", null=True),
            time("last_updated_at", "endpoint_bindings.last_updated_at", "When it last changed."),
        ),
    ),
    Table(
        name="model_definitions",
        entity=MODEL_DEFINITION,
        owner=("model_definition_id",),
        key=("model_definition_id",),
        description="Models of providers that endpoints call.",
        columns=(
            text("model_definition_id", "model_definitions.model_definition_id", "Id at the source."),
            text("name", "model_definitions.name", "Name."),
            text("secret_id", "model_definitions.secret_id", "Id in `gateway_secrets`.", null=True),
            text("provider", "model_definitions.provider", "Provider."),
            text("model_name", "model_definitions.model_name", "Model."),
            *_made("model_definitions"),
        ),
    ),
    Table(
        name="budget_policies",
        entity=BUDGET_POLICY,
        owner=("budget_policy_id",),
        key=("budget_policy_id",),
        description="Budgets of the gateway.",
        columns=(
            text("budget_policy_id", "budget_policies.budget_policy_id", "Id at the source."),
            text("budget_unit", "budget_policies.budget_unit", "Unit."),
            real("budget_amount", "budget_policies.budget_amount", "Amount.", null=False),
            text("duration_unit", "budget_policies.duration_unit", "Unit of time."),
            integer("duration_value", "budget_policies.duration_value", "Number of these units."),
            text("target_scope", "budget_policies.target_scope", "Who it is for."),
            text("target_value", "budget_policies.target_value", "Whom.", null=True),
            text("budget_action", "budget_policies.budget_action", "What happens when it is spent."),
            *_made("budget_policies"),
        ),
    ),
    Table(
        name="guardrails",
        entity=GUARDRAIL,
        owner=("guardrail_id",),
        key=("guardrail_id",),
        description="Guardrails of the gateway.",
        columns=(
            _GUARDRAIL_ID,
            text("name", "guardrails.name", "Name."),
            text("scorer_id", "guardrails.scorer_id", "Id in `scorers`."),
            integer("scorer_version", "guardrails.scorer_version", "Version of the scorer."),
            text("stage", "guardrails.stage", "Before or after the call."),
            text("action", "guardrails.action", "What it does."),
            text("action_endpoint_id", "guardrails.action_endpoint_id", "Id in `gateway_endpoints`.", null=True),
            *_made("guardrails"),
        ),
    ),
    Table(
        name="guardrail_endpoints",
        entity=GUARDRAIL,
        owner=("guardrail_id",),
        key=("guardrail_id", "endpoint_id"),
        description="Endpoints a guardrail watches.",
        columns=(
            _GUARDRAIL_ID,
            text("endpoint_id", "guardrail_configs.endpoint_id", "Id in `gateway_endpoints`."),
            integer("execution_order", "guardrail_configs.execution_order", "Order.", null=True),
            text("created_by", "guardrail_configs.created_by", "Who made it.", null=True),
            time("created_at", "guardrail_configs.created_at", "When it was made."),
            text("workspace", "guardrail_configs.workspace", "Workspace.", null=True),
        ),
    ),
)
