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
    flag,
    integer,
    listing,
    made,
    real,
    text,
    time,
)


def _made(table: str) -> tuple[Column, ...]:
    return (*made(table), text("workspace", f"{table}.workspace", "Workspace.", null=True))


GATEWAY_SECRETS: Final = Kind(
    name=GATEWAY_SECRET,
    owner=(text("secret_id", "secrets.secret_id", "Id at the source."),),
    refers=(WORKSPACE,),
    word="gateway",
    lists=(listing("gateway-secrets", "secret_id secret_name provider created_at", note="their names"),),
)
MODEL_DEFINITIONS: Final = Kind(
    name=MODEL_DEFINITION,
    owner=(text("model_definition_id", "model_definitions.model_definition_id", "Id at the source."),),
    refers=(GATEWAY_SECRET,),
    word="gateway",
    lists=(listing("model-definitions", "model_definition_id name provider model_name"),),
)
GATEWAY_ENDPOINTS: Final = Kind(
    name=GATEWAY_ENDPOINT,
    owner=(text("endpoint_id", "endpoints.endpoint_id", "Id at the source."),),
    refers=(EXPERIMENT, MODEL_DEFINITION),
    word="gateway",
    lists=(listing("gateway-endpoints", "endpoint_id name experiment routing_strategy"),),
)
GUARDRAILS: Final = Kind(
    name=GUARDRAIL,
    owner=(text("guardrail_id", "guardrails.guardrail_id", "Id at the source."),),
    refers=(SCORER, GATEWAY_ENDPOINT),
    word="gateway",
    lists=(listing("guardrails", "guardrail_id name stage action"),),
)
BUDGET_POLICIES: Final = Kind(
    name=BUDGET_POLICY,
    owner=(text("budget_policy_id", "budget_policies.budget_policy_id", "Id at the source."),),
    refers=(GATEWAY_ENDPOINT,),
    word="gateway",
    lists=(listing("budget-policies", "budget_policy_id budget_unit budget_amount budget_action"),),
)

KINDS: Final = (GATEWAY_SECRETS, MODEL_DEFINITIONS, GATEWAY_ENDPOINTS, GUARDRAILS, BUDGET_POLICIES)

TABLES: Final = (
    GATEWAY_SECRETS.table(
        "gateway_secrets",
        "Names of gateway secrets, without the secrets: after an import they must be entered again.",
        text("secret_name", "secrets.secret_name", "Name."),
        text("provider", "secrets.provider", "Provider.", null=True),
        text("description", "secrets.description", "Description.", null=True),
        *_made("secrets"),
    ),
    GATEWAY_ENDPOINTS.table(
        "gateway_endpoints",
        "Gateway endpoints.",
        text("name", "endpoints.name", "Name.", null=True),
        text("routing_strategy", "endpoints.routing_strategy", "How a model is chosen.", null=True),
        text("fallback_config", "endpoints.fallback_config_json", "JSON text.", null=True),
        text("experiment_id", "endpoints.experiment_id", "Experiment of its traces.", null=True),
        flag("usage_tracking", "endpoints.usage_tracking", "Whether use is traced."),
        *_made("endpoints"),
    ),
    GATEWAY_ENDPOINTS.tags("gateway_endpoint_tags", "Tags of gateway endpoints.", stored_in="endpoint_tags"),
    GATEWAY_ENDPOINTS.table(
        "gateway_endpoint_models",
        "Model definitions of an endpoint.",
        text("mapping_id", "endpoint_model_mappings.mapping_id", "Id at the source."),
        text("model_definition_id", "endpoint_model_mappings.model_definition_id", "Id in `model_definitions`."),
        real("weight", "endpoint_model_mappings.weight", "Share of the traffic.", null=False),
        text("linkage_type", "endpoint_model_mappings.linkage_type", "PRIMARY or FALLBACK.", null=True),
        integer("fallback_order", "endpoint_model_mappings.fallback_order", "Order.", null=True),
        text("created_by", "endpoint_model_mappings.created_by", "Who made it.", null=True),
        time("created_at", "endpoint_model_mappings.created_at", "When it was made."),
        key=("mapping_id",),
    ),
    GATEWAY_ENDPOINTS.table(
        "gateway_endpoint_bindings",
        "What uses an endpoint.",
        text("resource_type", "endpoint_bindings.resource_type", "Kind of user, such as `scorer`."),
        text("resource_id", "endpoint_bindings.resource_id", "Its id."),
        text("display_name", "endpoint_bindings.display_name", "Name shown.", null=True),
        text("created_by", "endpoint_bindings.created_by", "Who made it.", null=True),
        time("created_at", "endpoint_bindings.created_at", "When it was made."),
        text("last_updated_by", "endpoint_bindings.last_updated_by", "Who changed it.", null=True),
        time("last_updated_at", "endpoint_bindings.last_updated_at", "When it last changed."),
        key=("resource_type", "resource_id"),
    ),
    MODEL_DEFINITIONS.table(
        "model_definitions",
        "Models of providers that endpoints call.",
        text("name", "model_definitions.name", "Name."),
        text("secret_id", "model_definitions.secret_id", "Id in `gateway_secrets`.", null=True),
        text("provider", "model_definitions.provider", "Provider."),
        text("model_name", "model_definitions.model_name", "Model."),
        *_made("model_definitions"),
    ),
    BUDGET_POLICIES.table(
        "budget_policies",
        "Budgets of the gateway.",
        text("budget_unit", "budget_policies.budget_unit", "Unit."),
        real("budget_amount", "budget_policies.budget_amount", "Amount.", null=False),
        text("duration_unit", "budget_policies.duration_unit", "Unit of time."),
        integer("duration_value", "budget_policies.duration_value", "Number of these units."),
        text("target_scope", "budget_policies.target_scope", "Who it is for."),
        text("target_value", "budget_policies.target_value", "Whom.", null=True),
        text("budget_action", "budget_policies.budget_action", "What happens when it is spent."),
        *_made("budget_policies"),
    ),
    GUARDRAILS.table(
        "guardrails",
        "Guardrails of the gateway.",
        text("name", "guardrails.name", "Name."),
        text("scorer_id", "guardrails.scorer_id", "Id in `scorers`."),
        integer("scorer_version", "guardrails.scorer_version", "Version of the scorer."),
        text("stage", "guardrails.stage", "Before or after the call."),
        text("action", "guardrails.action", "What it does."),
        text("action_endpoint_id", "guardrails.action_endpoint_id", "Id in `gateway_endpoints`.", null=True),
        *_made("guardrails"),
    ),
    GUARDRAILS.table(
        "guardrail_endpoints",
        "Endpoints a guardrail watches.",
        text("endpoint_id", "guardrail_configs.endpoint_id", "Id in `gateway_endpoints`."),
        integer("execution_order", "guardrail_configs.execution_order", "Order.", null=True),
        text("created_by", "guardrail_configs.created_by", "Who made it.", null=True),
        time("created_at", "guardrail_configs.created_at", "When it was made."),
        text("workspace", "guardrail_configs.workspace", "Workspace.", null=True),
        key=("endpoint_id",),
    ),
)
