"""The AI gateway of one workspace: what calls what. Keys, masked or not, are never taken out of an answer.

All of these lists are short; each kind is one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.kinds import BUDGET_POLICY, GATEWAY_ENDPOINT, GATEWAY_SECRET, GUARDRAIL, MODEL_DEFINITION
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, filled, integer, json_text, unexpected_shape
from mlflow_archive.sources.rest.lists import Page, all_at_once, asking, pages
from mlflow_archive.sources.rest.objects.scorers import hidden_scorers
from mlflow_archive.sources.rest.scope import Batch, Scope, add_rows, chunk_of, gap_of, gaps_of

PAGE: Final = 500
_GATEWAY: Final = "/api/3.0/mlflow/gateway"

Rows = dict[str, list[Row]]


def plan_secrets(scope: Scope) -> Iterator[Batch]:
    """Yield the names of secrets."""
    return _plan(scope, GATEWAY_SECRET, "secrets/list", "secrets", _secret_rows)


def plan_model_definitions(scope: Scope) -> Iterator[Batch]:
    """Yield the model definitions."""
    return _plan(scope, MODEL_DEFINITION, "model-definitions/list", "model_definitions", _definition_rows)


def plan_budgets(scope: Scope) -> Iterator[Batch]:
    """Yield the budget policies."""
    return _plan(scope, BUDGET_POLICY, "budgets/list", "budget_policies", _budget_rows, paged="budget_policy_id")


def plan_guardrails(scope: Scope) -> Iterator[Batch]:
    """Yield the guardrails with the endpoints they watch."""
    if scope.everything:
        yield Batch(name="guardrails", read=partial(_read_guardrails, scope))


def plan_endpoints(scope: Scope) -> Iterator[Batch]:
    """Yield the endpoints with models, tags and bindings."""
    if scope.everything:
        yield Batch(name="gateway endpoints", read=partial(_read_endpoints, scope))


def _plan(
    scope: Scope,
    kind: str,
    path: str,
    name: str,
    rows_of: Callable[[Scope, Json], Rows],
    *,
    paged: str | None = None,
) -> Iterator[Batch]:
    if scope.everything:
        yield Batch(name=name, read=partial(_read, scope, kind, path, name, rows_of, paged))


def _read(
    scope: Scope,
    kind: str,
    path: str,
    name: str,
    rows_of: Callable[[Scope, Json], Rows],
    paged: str | None,
    known: Known,
) -> Iterator[Chunk]:
    rows: Rows = {}
    gaps: list[Gap] = []
    for page in _list(scope, path, name, paged):
        gaps += gaps_of(kind, page.losses)
        _add(kind, page.rows, partial(rows_of, scope), rows, gaps)
    yield chunk_of(rows, gaps)


def _list(scope: Scope, path: str, name: str, paged: str | None = None) -> Iterator[Page]:
    if paged is None:
        return all_at_once(scope.session, f"{_GATEWAY}/{path}", name)
    return pages(asking(scope.session, f"{_GATEWAY}/{path}", name), lambda row: row.get(paged), size=PAGE)


def _add(kind: str, objects: Sequence[Json], rows_of: Callable[[Json], Rows], rows: Rows, gaps: list[Gap]) -> None:
    for raw in objects:
        try:
            add_rows(rows, rows_of(raw))
        except UNREADABLE_ROW as exc:
            owner = str(next((value for name, value in raw.items() if name.endswith("_id")), ""))
            gaps.append(gap_of(kind, owner, "", unexpected_shape(exc)))


def _created(raw: Json) -> Row:
    return {"created_by": filled(raw.get("created_by")), "created_at": integer(raw.get("created_at"))}


def _created_and_changed(scope: Scope, raw: Json) -> Row:
    return {
        **_created(raw),
        "last_updated_by": filled(raw.get("last_updated_by")),
        "last_updated_at": integer(raw.get("last_updated_at")),
        "workspace": scope.workspace,
    }


def _secret_rows(scope: Scope, raw: Json) -> Rows:
    row = {
        "secret_id": str(raw["secret_id"]),
        "secret_name": str(raw["secret_name"]),
        "provider": filled(raw.get("provider")),
        **_created_and_changed(scope, raw),
    }
    return {"gateway_secrets": [row]}


def _definition_rows(scope: Scope, raw: Json) -> Rows:
    row = {
        "model_definition_id": str(raw["model_definition_id"]),
        "name": str(raw["name"]),
        "secret_id": filled(raw.get("secret_id")),
        "provider": str(raw["provider"]),
        "model_name": str(raw["model_name"]),
        **_created_and_changed(scope, raw),
    }
    return {"model_definitions": [row]}


def _budget_rows(scope: Scope, raw: Json) -> Rows:
    row = {
        "budget_policy_id": str(raw["budget_policy_id"]),
        "budget_unit": str(raw["budget_unit"]),
        "budget_amount": float(raw.get("budget_amount", 0.0)),
        "duration_unit": str(raw["duration"]["unit"]),
        "duration_value": int(raw["duration"]["value"]),
        "target_scope": str(raw["target_scope"]),
        "target_value": filled(raw.get("target_value")),
        "budget_action": str(raw["budget_action"]),
        **_created_and_changed(scope, raw),
    }
    return {"budget_policies": [row]}


def _read_endpoints(scope: Scope, known: Known) -> Iterator[Chunk]:
    rows: Rows = {}
    gaps: list[Gap] = []
    for page in _list(scope, "endpoints/list", "endpoints"):
        gaps += gaps_of(GATEWAY_ENDPOINT, page.losses)
        _add(GATEWAY_ENDPOINT, page.rows, partial(_endpoint_rows, scope), rows, gaps)
    for page in _list(scope, "endpoints/bindings/list", "bindings"):
        gaps += gaps_of(GATEWAY_ENDPOINT, page.losses)
        _add(GATEWAY_ENDPOINT, page.rows, _binding_rows, rows, gaps)
        scorer_ids = {str(row.get("resource_id")) for row in page.rows if row.get("resource_type") == "scorer"}
        gaps += hidden_scorers(scope, scorer_ids)
    yield chunk_of(rows, gaps)


def _endpoint_rows(scope: Scope, raw: Json) -> Rows:
    endpoint_id = str(raw["endpoint_id"])
    mappings = raw.get("model_mappings", [])
    return {
        "gateway_endpoints": [
            {
                "endpoint_id": endpoint_id,
                "name": filled(raw.get("name")),
                "routing_strategy": filled(raw.get("routing_strategy")),
                "fallback_config": _fallback(raw.get("fallback_config"), mappings),
                "experiment_id": filled(raw.get("experiment_id")),
                "usage_tracking": bool(raw.get("usage_tracking", False)),
                **_created_and_changed(scope, raw),
            }
        ],
        "gateway_endpoint_tags": [
            {"endpoint_id": endpoint_id, "key": str(tag["key"]), "value": tag.get("value")}
            for tag in raw.get("tags", [])
        ],
        "gateway_endpoint_models": [
            {
                "endpoint_id": endpoint_id,
                "mapping_id": str(mapping["mapping_id"]),
                "model_definition_id": str(mapping["model_definition_id"]),
                "weight": float(mapping.get("weight", 0.0)),
                "linkage_type": filled(mapping.get("linkage_type")),
                "fallback_order": integer(mapping.get("fallback_order")),
                **_created(mapping),
            }
            for mapping in mappings
        ],
    }


def _fallback(config: Any, mappings: Sequence[Json]) -> str | None:
    """Return a fallback config as MLflow keeps it: with the ids of the models to fall back on."""
    fallbacks = [mapping for mapping in mappings if mapping.get("linkage_type") == "FALLBACK"]
    if not config and not fallbacks:
        return None
    config = config or {}
    fallbacks.sort(key=lambda mapping: mapping.get("fallback_order") or 0)
    ids = [str(mapping["model_definition_id"]) for mapping in fallbacks]
    values = {"strategy": config.get("strategy"), "max_attempts": config.get("max_attempts")}
    return json_text({**values, "model_definition_ids": ids})


def _binding_rows(raw: Json) -> Rows:
    row = {
        "endpoint_id": str(raw["endpoint_id"]),
        "resource_type": str(raw["resource_type"]),
        "resource_id": str(raw["resource_id"]),
        "display_name": filled(raw.get("display_name")),
        **_created(raw),
        "last_updated_by": filled(raw.get("last_updated_by")),
        "last_updated_at": integer(raw.get("last_updated_at")),
    }
    return {"gateway_endpoint_bindings": [row]}


def _read_guardrails(scope: Scope, known: Known) -> Iterator[Chunk]:
    rows: Rows = {}
    gaps: list[Gap] = []
    for page in _list(scope, "guardrails/list", "guardrails", "guardrail_id"):
        gaps += gaps_of(GUARDRAIL, page.losses)
        _add(GUARDRAIL, page.rows, partial(_guardrail_rows, scope), rows, gaps)
    if rows.get("guardrails"):
        for endpoint_id in scope.endpoint_ids.values():
            path = f"{_GATEWAY}/guardrails/list-for-endpoint"
            for page in all_at_once(scope.session, path, "configs", endpoint_id=endpoint_id):
                gaps += gaps_of(GUARDRAIL, page.losses)
                _add(GUARDRAIL, page.rows, partial(_watched_rows, scope), rows, gaps)
    yield chunk_of(rows, gaps)


def _guardrail_rows(scope: Scope, raw: Json) -> Rows:
    endpoint = filled(raw.get("action_endpoint_id"))  # the server puts the endpoint's name here
    row = {
        "guardrail_id": str(raw["guardrail_id"]),
        "name": str(raw["name"]),
        "scorer_id": str(raw["scorer"]["scorer_id"]),
        "scorer_version": int(raw["scorer"]["scorer_version"]),
        "stage": str(raw["stage"]),
        "action": str(raw["action"]),
        "action_endpoint_id": None if endpoint is None else scope.endpoint_ids.get(endpoint, endpoint),
        **_created_and_changed(scope, raw),
    }
    return {"guardrails": [row]}


def _watched_rows(scope: Scope, raw: Json) -> Rows:
    row = {
        "guardrail_id": str(raw["guardrail_id"]),
        "endpoint_id": str(raw["endpoint_id"]),
        "execution_order": integer(raw.get("execution_order")),
        **_created(raw),
        "workspace": scope.workspace,
    }
    return {"guardrail_endpoints": [row]}
