"""Guardrails and budgets of the AI gateway. Neither has a name that is its own: one that is equal stands for it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from mlflow_archive.errors import ItemError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import BUDGET_POLICY, GATEWAY_ENDPOINT, GUARDRAIL, SCORER
from mlflow_archive.sinks.replay.object_writer import EqualObjectWriter, ObjectRows
from mlflow_archive.sinks.replay.objects.gateway import API, MADE
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayWriter
from mlflow_archive.sinks.replay.objects.scorers import SCORER_VERSION
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.rows import Row

_ENDPOINT_SCOPE: Final = "ENDPOINT"
_GUARDRAIL: Final = ("name", "scorer_id", "scorer_version", "stage", "action", "action_endpoint_id")
_BUDGET: Final = ("budget_unit", "budget_amount", "target_scope", "target_value", "budget_action", "created_by")


class GuardrailWriter(GatewayWriter, EqualObjectWriter):
    """Writes guardrails, and which endpoints they watch."""

    kinds = (GUARDRAIL,)
    table, code, receipt_columns = "guardrails", refusals.GATEWAY_REFUSED, MADE
    api, answer, id_field = API + "guardrails/create", "guardrail", "guardrail_id"

    def is_due(self, rows: ObjectRows) -> bool:
        secrets = self._names.secrets_of(rows.row["scorer_id"], rows.row["action_endpoint_id"])
        return not self._names.missing_secrets.add(GUARDRAIL, rows.row["name"], secrets)

    def load(self) -> Iterable[Any]:
        endpoints = self._endpoints()
        for guardrail in entries(lambda page: self._context.api.get(API + "guardrails/list", page), "guardrails"):
            scorer, endpoint = guardrail["scorer"], guardrail.get("action_endpoint_id", "")
            # MLflow lists names in the place of ids.
            facts = {"scorer_id": scorer["scorer_id"], "scorer_version": int(scorer["scorer_version"])}
            yield {**guardrail, **facts, "action_endpoint_id": endpoints.get(endpoint, endpoint) or None}

    def _endpoints(self) -> dict[str, str]:
        """Return the endpoints of the target, name to id."""
        listed = self._context.api.get(API + "endpoints/list", {}).get("endpoints", [])
        return {endpoint["name"]: endpoint["endpoint_id"] for endpoint in listed}

    def key(self, fields: Mapping[str, Any]) -> Hashable:
        return tuple(fields.get(name) for name in _GUARDRAIL)

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        context, row, endpoint = self._context, rows.row, self._endpoint(rows.row)
        version = context.mapped(SCORER_VERSION, f"{row['scorer_id']}/{row['scorer_version']}")
        if version is None or row["scorer_id"] not in context.receipt.ids(SCORER):
            message = f"version {row['scorer_version']} of its scorer {row['scorer_id']} is not in the target"
            raise ItemError(message)
        return {
            "name": context.prefixed(row["name"]),
            "scorer_id": context.mapped(SCORER, row["scorer_id"]),
            "scorer_version": int(version),
            "stage": row["stage"],
            "action": row["action"],
            "action_endpoint_id": endpoint,
        }

    def _endpoint(self, row: Row) -> str | None:
        """Return the target's id of the endpoint that a guardrail acts through, its name where a dry run would make it.

        Raises ItemError where there is none.
        """
        reference = row["action_endpoint_id"]
        if reference is None:
            return None
        name, endpoints = self._names.name_of(reference), self._endpoints()
        if name is None or not (self._context.options.dry_run or name in endpoints):
            message = f"its endpoint {reference} is not in the target"
            raise ItemError(message)
        return endpoints.get(name, name)

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        changed = super().complete(rows, existing, is_new=is_new)
        for row in rows.of("guardrail_endpoints") if existing is not None else ():
            path = f"endpoints/{row['endpoint_id']}"
            values = {name: row[name] for name in ("created_by", "created_at")}
            self._context.receipt.kept("guardrail_endpoint", f"{rows.source_id}/{path}", values)
            changed |= self.part(rows, path, partial(self._watch, row, existing["guardrail_id"]))
        return changed

    def _watch(self, row: Row, guardrail_id: str) -> bool:
        """Let a guardrail watch an endpoint; return whether it did not yet."""
        api = self._context.api
        params = {"endpoint_id": self._context.required(GATEWAY_ENDPOINT, row["endpoint_id"])}
        body: dict[str, Any] = {**params, "guardrail_id": guardrail_id}
        if row["execution_order"] is not None:
            body["execution_order"] = row["execution_order"]

        def look() -> Any:
            listed = api.get(API + "guardrails/list-for-endpoint", params).get("configs", [])
            return next((config for config in listed if config["guardrail_id"] == guardrail_id), None)

        return self.add_missing(API + "guardrails/add-to-endpoint", body, look)


class BudgetWriter(GatewayWriter, EqualObjectWriter):
    """Writes budgets."""

    kinds = (BUDGET_POLICY,)
    table, code, receipt_columns = "budget_policies", refusals.GATEWAY_REFUSED, MADE
    api, answer, id_field = API + "budgets/create", "budget_policy", "budget_policy_id"

    def is_due(self, rows: ObjectRows) -> bool:
        secrets = self._names.secrets_of(rows.row["target_value"])
        return not self._names.missing_secrets.add(BUDGET_POLICY, rows.source_id, secrets)

    def load(self) -> Iterable[Any]:
        return entries(lambda page: self._context.api.get(API + "budgets/list", page), "budget_policies")

    def key(self, fields: Mapping[str, Any]) -> Hashable:
        duration = fields["duration"]
        return (*(fields.get(name, "") for name in _BUDGET), duration["unit"], int(duration["value"]))

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        row = rows.row
        return {
            "budget_unit": row["budget_unit"],
            "budget_amount": row["budget_amount"],
            "duration": {"unit": row["duration_unit"], "value": row["duration_value"]},
            "target_scope": row["target_scope"],
            "target_value": self._target_value(row),
            "budget_action": row["budget_action"],
            "created_by": row["created_by"],
        }

    def _target_value(self, row: Row) -> str | None:
        if row["target_scope"] != _ENDPOINT_SCOPE:
            return None if row["target_value"] is None else str(row["target_value"])
        if row["target_value"] not in self._context.receipt.ids(GATEWAY_ENDPOINT):
            message = f"it is for endpoint {row['target_value']}, which is not in the target"
            raise ItemError(message)
        return self._context.mapped(GATEWAY_ENDPOINT, row["target_value"])
