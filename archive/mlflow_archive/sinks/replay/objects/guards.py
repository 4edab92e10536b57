"""Guardrails and budgets of the AI gateway. Neither has a name that is its own: one that is equal stands for it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.kinds import BUDGET_POLICY, GATEWAY_ENDPOINT, GUARDRAIL, SCORER
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.objects.equals import Equals
from mlflow_archive.sinks.replay.objects.gateway import API, MADE
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayNames, MissingSecrets
from mlflow_archive.sinks.replay.objects.scorers import SCORER_VERSION
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.failures import once
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

_ENDPOINT_SCOPE: Final = "ENDPOINT"


class GuardrailWriter(KindWriter):
    """Writes guardrails, and which endpoints they watch."""

    kinds = (GUARDRAIL,)

    def __init__(self, context: ReplayContext, names: GatewayNames) -> None:
        self._context = context
        self._names = names
        self._missing_secrets = MissingSecrets(context)
        self._equals = Equals(self._load)

    def write(self, chunk: Chunk) -> None:
        watched: dict[str, list[Row]] = {}
        for row in rows_of(chunk, "guardrail_endpoints"):
            watched.setdefault(row["guardrail_id"], []).append(row)
        for row in rows_of(chunk, "guardrails"):
            with self._context.refusing(GUARDRAIL, row["guardrail_id"], refusals.GATEWAY_REFUSED):
                self._write_one(row, watched.get(row["guardrail_id"], []))

    def finish(self) -> None:
        self._missing_secrets.report()

    def _load(self) -> Iterable[tuple[Hashable, str]]:
        names = {endpoint_id: name for name, endpoint_id in self._endpoints().items()}
        for guardrail in entries(lambda page: self._context.api.get(API + "guardrails/list", page), "guardrails"):
            scorer, endpoint = guardrail["scorer"], guardrail.get("action_endpoint_id", "")
            version = int(scorer["scorer_version"])
            key = (guardrail["name"], scorer["scorer_id"], version, guardrail["stage"], guardrail["action"])
            # MLflow lists names in the place of ids.
            yield (*key, names.get(endpoint, endpoint) or None), guardrail["guardrail_id"]

    def _endpoints(self) -> dict[str, str]:
        """Return the endpoints of the target, name to id."""
        listed = self._context.api.get(API + "endpoints/list").get("endpoints", [])
        return {endpoint["name"]: endpoint["endpoint_id"] for endpoint in listed}

    def _write_one(self, row: Row, watched: list[Row]) -> None:
        context, source_id = self._context, row["guardrail_id"]
        if secrets := self._names.secrets_of(row["scorer_id"], row["action_endpoint_id"]):
            self._missing_secrets.add(GUARDRAIL, row["name"], secrets)
            return
        endpoint = self._endpoint(row)
        body = self._body(row)
        key = (*body.values(), endpoint)
        create = None if context.options.dry_run else lambda: self._create(body, endpoint)
        guardrail_id, outcome = self._equals.take_or_create(key, create)
        context.receipt.mapped(GUARDRAIL, source_id, guardrail_id)
        context.receipt.kept(GUARDRAIL, source_id, {name: row[name] for name in MADE})
        changed = False
        for watch in watched if guardrail_id is not None else []:
            changed |= self._watch(watch, guardrail_id or "")
        context.receipt.done("updated" if changed and outcome == "skipped" else outcome, GUARDRAIL)

    def _create(self, body: dict[str, Any], endpoint: str | None) -> str:
        sent = body if endpoint is None else {**body, "action_endpoint_id": self._endpoints()[endpoint]}
        answer = self._context.api.post(API + "guardrails/create", sent, idempotent=False)
        return str(answer["guardrail"]["guardrail_id"])

    def _endpoint(self, row: Row) -> str | None:
        """Return the target's name of the endpoint that a guardrail acts through. Raises ItemError without one."""
        reference = row["action_endpoint_id"]
        name = self._names.name_of(reference)
        if reference is not None and (name is None or not (self._context.options.dry_run or name in self._endpoints())):
            message = f"its endpoint {reference} is not in the target"
            raise ItemError(message)
        return name

    def _body(self, row: Row) -> dict[str, Any]:
        """Return what to send but for the endpoint. Raises ItemError where the scorer is not there."""
        context = self._context
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
        }

    def _watch(self, row: Row, guardrail_id: str) -> bool:
        """Let a guardrail watch an endpoint; return whether it did not yet."""
        context = self._context
        path = f"endpoints/{row['endpoint_id']}"
        values = {name: row[name] for name in ("created_by", "created_at")}
        context.receipt.kept("guardrail_endpoint", f"{row['guardrail_id']}/{path}", values)
        changed = False
        with context.refusing(GUARDRAIL, row["guardrail_id"], refusals.GATEWAY_REFUSED, path=path):
            params = {"endpoint_id": context.required(GATEWAY_ENDPOINT, row["endpoint_id"])}
            body: dict[str, Any] = {**params, "guardrail_id": guardrail_id}
            if row["execution_order"] is not None:
                body["execution_order"] = row["execution_order"]

            def look() -> Any:
                listed = context.api.get(API + "guardrails/list-for-endpoint", params).get("configs", [])
                return next((config for config in listed if config["guardrail_id"] == guardrail_id), None)

            if look() is None:
                if not context.options.dry_run:
                    once(lambda: context.api.post(API + "guardrails/add-to-endpoint", body, idempotent=False), look)
                changed = True
        return changed


class BudgetWriter(KindWriter):
    """Writes budgets."""

    kinds = (BUDGET_POLICY,)

    def __init__(self, context: ReplayContext, names: GatewayNames) -> None:
        self._context = context
        self._names = names
        self._missing_secrets = MissingSecrets(context)
        self._equals = Equals(self._load)

    def write(self, chunk: Chunk) -> None:
        for row in rows_of(chunk, "budget_policies"):
            with self._context.refusing(BUDGET_POLICY, row["budget_policy_id"], refusals.GATEWAY_REFUSED):
                self._write_one(row)

    def finish(self) -> None:
        self._missing_secrets.report()

    def _load(self) -> Iterable[tuple[Hashable, str]]:
        for budget in entries(lambda page: self._context.api.get(API + "budgets/list", page), "budget_policies"):
            yield _budget_key(budget), budget["budget_policy_id"]

    def _write_one(self, row: Row) -> None:
        context, source_id = self._context, row["budget_policy_id"]
        if secrets := self._names.secrets_of(row["target_value"]):
            self._missing_secrets.add(BUDGET_POLICY, source_id, secrets)
            return
        body = {
            "budget_unit": row["budget_unit"],
            "budget_amount": row["budget_amount"],
            "duration": {"unit": row["duration_unit"], "value": row["duration_value"]},
            "target_scope": row["target_scope"],
            "target_value": self._target_value(row),
            "budget_action": row["budget_action"],
            "created_by": row["created_by"],
        }
        body = {key: value for key, value in body.items() if value is not None}
        create = None if context.options.dry_run else lambda: self._create(body)
        policy_id, outcome = self._equals.take_or_create(_budget_key(body), create)
        context.receipt.mapped(BUDGET_POLICY, source_id, policy_id)
        context.receipt.kept(BUDGET_POLICY, source_id, {name: row[name] for name in MADE})
        context.receipt.done(outcome, BUDGET_POLICY)

    def _create(self, body: dict[str, Any]) -> str:
        answer = self._context.api.post(API + "budgets/create", body, idempotent=False)
        return str(answer["budget_policy"]["budget_policy_id"])

    def _target_value(self, row: Row) -> str | None:
        if row["target_scope"] != _ENDPOINT_SCOPE:
            return None if row["target_value"] is None else str(row["target_value"])
        if row["target_value"] not in self._context.receipt.ids(GATEWAY_ENDPOINT):
            message = f"it is for endpoint {row['target_value']}, which is not in the target"
            raise ItemError(message)
        return self._context.mapped(GATEWAY_ENDPOINT, row["target_value"])


def _budget_key(budget: dict[str, Any]) -> Hashable:
    names = ("budget_unit", "budget_amount", "target_scope", "target_value", "budget_action", "created_by")
    duration = budget["duration"]
    return (*(budget.get(name, "") for name in names), duration["unit"], int(duration["value"]))
