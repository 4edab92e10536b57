"""The AI gateway of one workspace: what calls what. Keys, masked or not, are never taken out of an answer.

All of these lists are short; each kind is one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from mlflow_archive.flow.chunk import Chunk, Known
from mlflow_archive.kinds import BUDGET_POLICY, GATEWAY_ENDPOINT, GATEWAY_SECRET, GUARDRAIL, MODEL_DEFINITION
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.rows import pair_rows
from mlflow_archive.sources.rest.cells import Row, json_text
from mlflow_archive.sources.rest.lists import Page, all_at_once, asking, pages
from mlflow_archive.sources.rest.objects.scorers import hidden_scorers
from mlflow_archive.sources.rest.scope import Batch, Contents, Scope, TableRows

PAGE: Final = 500
_GATEWAY: Final = "/api/3.0/mlflow/gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class _ListOf:
    """A list of objects of one kind. ``paged`` is the field of their ids where it comes in pages."""

    kind: str
    path: str
    name: str
    rows_of: Callable[[Scope, Fields], TableRows]
    paged: str | None


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
        yield Batch(name="guardrails", read=_read_guardrails)


def plan_endpoints(scope: Scope) -> Iterator[Batch]:
    """Yield the endpoints with models, tags and bindings."""
    if scope.everything:
        yield Batch(name="gateway endpoints", read=_read_endpoints)


def _plan(
    scope: Scope,
    kind: str,
    path: str,
    name: str,
    rows_of: Callable[[Scope, Fields], TableRows],
    *,
    paged: str | None = None,
) -> Iterator[Batch]:
    if scope.everything:
        request = _ListOf(kind=kind, path=path, name=name, rows_of=rows_of, paged=paged)
        yield Batch(name=name, read=_read, request=request)


def _read(scope: Scope, request: _ListOf, known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, request.kind)
    _add(
        contents, _list(scope, request.kind, request.path, request.name, request.paged), partial(request.rows_of, scope)
    )
    yield from contents.chunks()


def _list(scope: Scope, kind: str, path: str, name: str, paged: str | None = None) -> Iterator[Page]:
    if paged is None:
        return all_at_once(scope, kind, f"{_GATEWAY}/{path}", name)
    return pages(asking(scope, kind, f"{_GATEWAY}/{path}", name), paged, size=PAGE)


def _add(contents: Contents, pages: Iterable[Page], rows_of: Callable[[Fields], TableRows], part: str = "") -> None:
    """Add the objects of a list, or what ``part`` says of them."""
    for raw in contents.listed(pages):
        owner_id = str(next((value for name, value in raw.items() if name.endswith("_id")), ""))
        contents.add(owner_id, raw, rows_of, part)


def _secret_rows(scope: Scope, secret: Fields) -> TableRows:
    secret.known("masked_value", "masked_values", "auth_config")  # never taken
    return {"gateway_secrets": [row_of("gateway_secrets", secret, workspace=scope.workspace)]}


def _definition_rows(scope: Scope, definition: Fields) -> TableRows:
    definition.known("secret_name")  # that of secret_id
    return {"model_definitions": [row_of("model_definitions", definition, workspace=scope.workspace)]}


def _budget_rows(scope: Scope, budget: Fields) -> TableRows:
    duration = budget.object("duration")
    row = row_of(
        "budget_policies",
        budget,
        budget_amount=budget.real("budget_amount") or 0.0,
        duration_unit=duration.required("unit"),
        duration_value=int(duration.required("value")),
        workspace=scope.workspace,
    )
    return {"budget_policies": [row]}


def _read_endpoints(scope: Scope, request: None, known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, GATEWAY_ENDPOINT)
    _add(contents, _list(scope, GATEWAY_ENDPOINT, "endpoints/list", "endpoints"), partial(_endpoint_rows, scope))
    _add(contents, _list(scope, GATEWAY_ENDPOINT, "endpoints/bindings/list", "bindings"), _binding_rows, "bindings")
    bindings = contents.rows.get("gateway_endpoint_bindings", ())
    contents.gaps += hidden_scorers(scope, {r["resource_id"] for r in bindings if r["resource_type"] == "scorer"})
    yield from contents.chunks()


def _endpoint_rows(scope: Scope, endpoint: Fields) -> TableRows:
    own = {"endpoint_id": endpoint.required("endpoint_id")}
    models = [_model_row(mapping, own) for mapping in endpoint.objects("model_mappings")]
    row = row_of(
        "gateway_endpoints",
        endpoint,
        fallback_config=_fallback(endpoint.object("fallback_config"), models),
        usage_tracking=endpoint.flag("usage_tracking") or False,
        workspace=scope.workspace,
    )
    tags = pair_rows(endpoint.pairs_with_nulls("tags"), **own)
    return {"gateway_endpoints": [row], "gateway_endpoint_tags": tags, "gateway_endpoint_models": models}


def _model_row(mapping: Fields, own: Row) -> Row:
    mapping.known("model_definition")  # which comes by itself
    return row_of("gateway_endpoint_models", mapping, **own, weight=mapping.real("weight") or 0.0)


def _fallback(config: Fields, models: Sequence[Row]) -> str | None:
    """Return a fallback config as MLflow keeps it: with the ids of the models to fall back on."""
    fallbacks = [row for row in models if row["linkage_type"] == "FALLBACK"]
    values = {name: config.value(name) for name in ("strategy", "max_attempts")}
    if not config and not fallbacks:
        return None
    fallbacks.sort(key=lambda row: row["fallback_order"] or 0)
    return json_text({**values, "model_definition_ids": [row["model_definition_id"] for row in fallbacks]})


def _binding_rows(binding: Fields) -> TableRows:
    return {"gateway_endpoint_bindings": [row_of("gateway_endpoint_bindings", binding)]}


def _read_guardrails(scope: Scope, request: None, known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, GUARDRAIL)
    _add(
        contents,
        _list(scope, GUARDRAIL, "guardrails/list", "guardrails", "guardrail_id"),
        partial(_guardrail_rows, scope),
    )
    path = f"{_GATEWAY}/guardrails/list-for-endpoint"
    for endpoint_id in scope.endpoint_ids.values() if contents.rows.get("guardrails") else ():
        watched = all_at_once(scope, GUARDRAIL, path, "configs", endpoint_id=endpoint_id)
        _add(contents, watched, partial(_watched_rows, scope), "endpoints")
    yield from contents.chunks()


def _guardrail_rows(scope: Scope, guardrail: Fields) -> TableRows:
    endpoint = guardrail.text("action_endpoint_id")  # the server puts the endpoint's name here
    scorer = guardrail.value("scorer")  # the whole of it, which comes by itself
    row = row_of(
        "guardrails",
        guardrail,
        scorer_id=str(scorer["scorer_id"]),
        scorer_version=int(scorer["scorer_version"]),
        action_endpoint_id=None if endpoint is None else scope.endpoint_ids.get(endpoint, endpoint),
        workspace=scope.workspace,
    )
    return {"guardrails": [row]}


def _watched_rows(scope: Scope, config: Fields) -> TableRows:
    config.known("guardrail")  # which comes by itself
    return {"guardrail_endpoints": [row_of("guardrail_endpoints", config, workspace=scope.workspace)]}
