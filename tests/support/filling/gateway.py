"""The AI gateway with marker secrets, and MCP servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.mcp_server import MCPStatus, MCPTool

from tests.support.filling.http import Http

SECRET_KEY = "MARKER-gateway-key-5d21e0"  # noqa: S105 - what tests look for
SECRET_AUTH = "MARKER-gateway-auth-a90c"  # noqa: S105
SECRET_IN_ENDPOINT = "MARKER-mcp-password-33ef"  # noqa: S105


@dataclass(kw_only=True)
class Gateway:
    """Ids by name."""

    secrets: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    guardrails: dict[str, str] = field(default_factory=dict)
    budgets: dict[str, str] = field(default_factory=dict)
    mcp_servers: list[str] = field(default_factory=list)


def fill_endpoints(http: Http, experiment_id: str, prefix: str) -> Gateway:
    """Make a secret, model definitions and endpoints with tags."""
    made = Gateway()
    secret = _call(
        http,
        "secrets/create",
        secret_name=f"{prefix}key",
        secret_value={"api_key": SECRET_KEY},
        provider="openai",
        auth_config={"note": SECRET_AUTH},
        created_by="ada",
    )["secret"]["secret_id"]
    made.secrets["key"] = secret
    for name in ("first", "second"):
        made.definitions[name] = _call(
            http,
            "model-definitions/create",
            name=f"{prefix}{name}",
            secret_id=secret,
            provider="openai",
            model_name=f"gpt-{name}",
            created_by="ada",
        )["model_definition"]["model_definition_id"]
    first, second = made.definitions.values()
    made.endpoints["split"] = _call(
        http,
        "endpoints/create",
        name=f"{prefix}split",
        model_configs=[
            {"model_definition_id": first, "linkage_type": "PRIMARY", "weight": 0.5},
            {"model_definition_id": second, "linkage_type": "FALLBACK", "weight": 1, "fallback_order": 1},
        ],
        routing_strategy="REQUEST_BASED_TRAFFIC_SPLIT",
        fallback_config={"strategy": "SEQUENTIAL", "max_attempts": 2},
        experiment_id=experiment_id,
        usage_tracking=True,
        created_by="ada",
    )["endpoint"]["endpoint_id"]
    made.endpoints["plain"] = _call(
        http,
        "endpoints/create",
        name=f"{prefix}plain",
        model_configs=[{"model_definition_id": first, "linkage_type": "PRIMARY", "weight": 1}],
        usage_tracking=False,
    )["endpoint"]["endpoint_id"]
    for key, value in {"team": "ü", "empty": ""}.items():
        _call(http, "endpoints/set-tag", endpoint_id=made.endpoints["split"], key=key, value=value)
    return made


def fill_guards(http: Http, made: Gateway, scorer_id: str, prefix: str) -> None:
    """Make a binding of an endpoint to a scorer, a guardrail with it, and budgets."""
    # A scorer that asks an endpoint is bound to it by the server.
    binding = {"endpoint_id": made.endpoints["plain"], "resource_type": "scorer", "resource_id": scorer_id}
    _call(http, "endpoints/bindings/create", **binding, created_by="ada")
    guardrail = _call(
        http,
        "guardrails/create",
        name=f"{prefix}guard",
        scorer_id=scorer_id,
        scorer_version=1,
        stage="BEFORE",
        action="SANITIZATION",
        action_endpoint_id=made.endpoints["plain"],
    )["guardrail"]["guardrail_id"]
    made.guardrails["guard"] = guardrail
    for order, name in enumerate(("split", "plain")):
        _call(
            http,
            "guardrails/add-to-endpoint",
            endpoint_id=made.endpoints[name],
            guardrail_id=guardrail,
            **({"execution_order": order} if order else {}),
        )
    budgets: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("all", "GLOBAL", {}),
        ("one", "ENDPOINT", {"target_value": made.endpoints["split"]}),
    )
    for name, scope, target in budgets:
        made.budgets[name] = _call(
            http,
            "budgets/create",
            budget_unit="USD",
            budget_amount=12.5,
            duration={"unit": "DAYS", "value": 3},
            target_scope=scope,
            budget_action="ALERT",
            created_by="ada",
            **target,
        )["budget_policy"]["budget_policy_id"]


def _call(http: Http, path: str, **body: Any) -> Any:
    return http.post(f"3.0/mlflow/gateway/{path}", **body)


def fill_mcp(client: MlflowClient, made: Gateway, prefix: str) -> None:
    """Make an MCP server with versions, tags, aliases and access endpoints, and an empty one."""
    name, empty = f"io.example/{prefix}search", f"io.example/{prefix}empty"
    client.create_mcp_server(name, description="Finds ü.")
    tools = [MCPTool(name="find", description="Find ü.", input_schema={"type": "object", "properties": {}})]
    for version in ("1.0.0", "1.10.0", "1.9.0-rc.1"):
        client.create_mcp_server_version(
            {"name": name, "version": version, "description": f"Version {version}, ü"},
            source="https://example.com/git",
            status=MCPStatus.ACTIVE,
            tools=tools if version == "1.0.0" else None,
        )
    client.set_mcp_server_tag(name, "team", "ü")
    client.set_mcp_server_version_tag(name, "1.10.0", "ok", "yes")
    client.set_mcp_server_alias(name, "live", "1.10.0")
    client.create_mcp_access_endpoint(name, url="https://example.com/mcp?x=1", server_version="1.0.0")
    client.create_mcp_access_endpoint(
        name, url=f"https://ada:{SECRET_IN_ENDPOINT}@example.com/mcp", server_alias="live"
    )
    client.create_mcp_server(empty)
    made.mcp_servers = [name, empty]
