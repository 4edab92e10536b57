"""The AI gateway and the MCP registry in the database."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from mlflow_archive.kinds import (
    BUDGET_POLICY,
    DEFAULT_WORKSPACE,
    GATEWAY_ENDPOINT,
    GATEWAY_SECRET,
    GUARDRAIL,
    MCP_SERVER,
    MODEL_DEFINITION,
)
from mlflow_archive.mlflow_database.mapping.model import Root, mapped

GATEWAY_ROOTS: Final = (
    Root(kind=GATEWAY_SECRET, stored_in="secrets", root_id="secret_id"),
    Root(kind=GATEWAY_ENDPOINT, stored_in="endpoints", root_id="endpoint_id"),
    Root(kind=MODEL_DEFINITION, stored_in="model_definitions", root_id="model_definition_id"),
    Root(kind=BUDGET_POLICY, stored_in="budget_policies", root_id="budget_policy_id"),
    Root(kind=GUARDRAIL, stored_in="guardrails", root_id="guardrail_id"),
    Root(kind=MCP_SERVER, stored_in="mcp_servers", root_id="name"),
)

_CREATED: Final = "created_by created_at"
_MADE: Final = f"{_CREATED} last_updated_by last_updated_at"
_NEVER: Final = "Secrets are never archived."
_IN_WORKSPACE: Final = MappingProxyType({"workspace": DEFAULT_WORKSPACE})

GATEWAY_MAPS: Final = (
    mapped(
        "gateway_secrets",
        GATEWAY_SECRET,
        "secret_id",
        f"secret_id secret_name provider description {_MADE} workspace",
        stored_in="secrets",
        defaults=_IN_WORKSPACE,
        not_carried={
            **dict.fromkeys(("encrypted_value", "wrapped_dek", "kek_version", "masked_value"), _NEVER),
            "auth_config": "It may hold credentials.",
        },
        blanked={"encrypted_value": b"", "wrapped_dek": b"", "kek_version": 0, "masked_value": ""},
    ),
    mapped(
        "gateway_endpoints",
        GATEWAY_ENDPOINT,
        "endpoint_id",
        f"endpoint_id name routing_strategy fallback_config=fallback_config_json experiment_id usage_tracking {_MADE} "
        "workspace",
        stored_in="endpoints",
        defaults={**_IN_WORKSPACE, "usage_tracking": False},
    ),
    mapped(
        "gateway_endpoint_tags", GATEWAY_ENDPOINT, "endpoint_id", "endpoint_id key value", stored_in="endpoint_tags"
    ),
    mapped(
        "gateway_endpoint_models",
        GATEWAY_ENDPOINT,
        "endpoint_id",
        f"endpoint_id mapping_id model_definition_id weight linkage_type fallback_order {_CREATED}",
        stored_in="endpoint_model_mappings",
        defaults={"linkage_type": "PRIMARY"},
    ),
    mapped(
        "gateway_endpoint_bindings",
        GATEWAY_ENDPOINT,
        "endpoint_id",
        f"endpoint_id resource_type resource_id display_name {_MADE}",
        stored_in="endpoint_bindings",
    ),
    mapped(
        "model_definitions",
        MODEL_DEFINITION,
        "model_definition_id",
        f"model_definition_id name secret_id provider model_name {_MADE} workspace",
        defaults=_IN_WORKSPACE,
    ),
    mapped(
        "budget_policies",
        BUDGET_POLICY,
        "budget_policy_id",
        "budget_policy_id budget_unit budget_amount duration_unit duration_value target_scope target_value "
        f"budget_action {_MADE} workspace",
        defaults=_IN_WORKSPACE,
    ),
    mapped(
        "guardrails",
        GUARDRAIL,
        "guardrail_id",
        f"guardrail_id name scorer_id scorer_version stage action action_endpoint_id {_MADE} workspace",
        defaults=_IN_WORKSPACE,
    ),
    mapped(
        "guardrail_endpoints",
        GUARDRAIL,
        "guardrail_id",
        f"guardrail_id endpoint_id execution_order {_CREATED} workspace",
        stored_in="guardrail_configs",
        defaults=_IN_WORKSPACE,
    ),
)

MCP_MAPS: Final = (
    mapped(
        "mcp_servers",
        MCP_SERVER,
        "name",
        f"name workspace display_name description icons {_MADE}",
        defaults=_IN_WORKSPACE,
    ),
    mapped("mcp_server_tags", MCP_SERVER, "name", "name workspace key value", defaults=_IN_WORKSPACE),
    mapped(
        "mcp_server_versions",
        MCP_SERVER,
        "name",
        "name workspace version version_major version_minor version_patch version_prerelease_sort_key server_json "
        f"status tools source connect_options {_MADE}",
        defaults=_IN_WORKSPACE,
    ),
    mapped("mcp_server_version_tags", MCP_SERVER, "name", "name workspace version key value", defaults=_IN_WORKSPACE),
    mapped("mcp_server_aliases", MCP_SERVER, "name", "name workspace alias version", defaults=_IN_WORKSPACE),
    mapped(
        "mcp_access_endpoints",
        MCP_SERVER,
        "server_name",
        f"name=server_name workspace id server_version server_alias url transport_type {_MADE}",
        defaults=_IN_WORKSPACE,
    ),
)
