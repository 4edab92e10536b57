"""The AI gateway: model definitions and endpoints, found by their names.

No archive holds secrets. A model definition is made where the target has a secret of the same name, that somebody
entered there; else it waits, and what needs it, and the receipt says for which secrets.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import left_by_import, object_source_tags
from mlflow_archive.kinds import GATEWAY_ENDPOINT, GATEWAY_SECRET, MODEL_DEFINITION
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayNames, MissingSecrets
from mlflow_archive.sinks.replay.places.experiments import SOURCE_ID, is_of_gateway
from mlflow_archive.sinks.replay.writing.failures import get_or_none, once
from mlflow_archive.sinks.replay.writing.fitting import Fitter
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row, json_of, rows_of

API: Final = "/api/3.0/mlflow/gateway/"
MADE: Final = ("created_by", "created_at", "last_updated_by", "last_updated_at")
_TAG: Final = 5000


@dataclass(slots=True, kw_only=True)
class _Endpoint:
    row: Row
    models: list[Row] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)


class GatewayWriter(KindWriter):
    """Writes model definitions and endpoints, and in the end what endpoints are bound to."""

    kinds = (GATEWAY_SECRET, MODEL_DEFINITION, GATEWAY_ENDPOINT)

    def __init__(self, context: ReplayContext, names: GatewayNames) -> None:
        self._context = context
        self._names = names
        self._missing_secrets = MissingSecrets(context)
        self._secret_names: dict[str, str] = {}
        self._needs: dict[str, frozenset[str]] = {}
        self._bindings: list[Row] = []

    def write(self, chunk: Chunk) -> None:
        self._write_each(chunk, "gateway_secrets", GATEWAY_SECRET, "secret_id", self._secret)
        self._write_each(chunk, "model_definitions", MODEL_DEFINITION, "model_definition_id", self._definition)
        endpoints = {row["endpoint_id"]: _Endpoint(row=row) for row in rows_of(chunk, "gateway_endpoints")}
        for row in rows_of(chunk, "gateway_endpoint_models"):
            endpoints[row["endpoint_id"]].models.append(row)
        for row in rows_of(chunk, "gateway_endpoint_tags"):
            endpoints[row["endpoint_id"]].tags[row["key"]] = row["value"]
        self._bindings.extend(rows_of(chunk, "gateway_endpoint_bindings"))
        self._write_each(
            chunk,
            "gateway_endpoints",
            GATEWAY_ENDPOINT,
            "endpoint_id",
            lambda row: self._endpoint(endpoints[row["endpoint_id"]]),
        )

    def finish(self) -> None:
        for row in self._bindings:
            self._bind(row)
        self._missing_secrets.report()

    def _write_each(self, chunk: Chunk, table: str, kind: str, id_column: str, write: Any) -> None:
        for row in rows_of(chunk, table):
            with self._context.refusing(kind, row[id_column], refusals.GATEWAY_REFUSED):
                write(row)

    def _secret(self, row: Row) -> None:
        source_id, name = row["secret_id"], self._context.prefixed(row["secret_name"])
        self._secret_names[source_id] = name
        listed = self._context.api.get(API + "secrets/list").get("secrets", [])
        existing = next((secret for secret in listed if secret["secret_name"] == name), None)
        if existing is None:
            self._missing_secrets.add(GATEWAY_SECRET, name, {name})
            return
        self._context.receipt.mapped(GATEWAY_SECRET, source_id, existing["secret_id"])
        self._context.receipt.done("skipped", GATEWAY_SECRET)

    def _definition(self, row: Row) -> None:
        context, source_id, name = self._context, row["model_definition_id"], self._context.prefixed(row["name"])
        definition = self._find_definition(name)
        outcome = "skipped"
        if definition is not None and any(definition[key] != row[key] for key in ("provider", "model_name")):
            context.receipt.note(f"model definition {name!r} of the target is another model there, and stays so")
        if definition is None:
            secret = context.mapped(GATEWAY_SECRET, row["secret_id"])
            if secret is None:
                self._wait_for_secret(row, name)
                return
            outcome = "created"
            if not context.options.dry_run:
                definition = self._create_definition(row, name, secret)
        context.receipt.mapped(MODEL_DEFINITION, source_id, definition and definition["model_definition_id"])
        self._keep(MODEL_DEFINITION, source_id, row)
        context.receipt.done(outcome, MODEL_DEFINITION)

    def _wait_for_secret(self, row: Row, name: str) -> None:
        if row["secret_id"] is None:
            message = f"model definition {name!r} lost its secret at the source, and MLflow makes none without"
            raise ItemError(message)
        secret = self._secret_names.get(row["secret_id"])
        if secret is None:
            message = f"model definition {name!r} needs a secret that the archive does not name"
            raise ItemError(message)
        self._needs[row["model_definition_id"]] = frozenset({secret})
        self._missing_secrets.add(MODEL_DEFINITION, name, {secret})

    def _find_definition(self, name: str) -> Any:
        listed = self._context.api.get(API + "model-definitions/list").get("model_definitions", [])
        return next((definition for definition in listed if definition["name"] == name), None)

    def _create_definition(self, row: Row, name: str, secret: str) -> Any:
        body = {"name": name, "secret_id": secret, "provider": row["provider"], "model_name": row["model_name"]}
        body |= {"created_by": row["created_by"]} if row["created_by"] else {}
        return once(
            lambda: self._context.api.post(API + "model-definitions/create", body, idempotent=False)[
                "model_definition"
            ],
            lambda: self._find_definition(name),
            by_name=True,
        )

    def _keep(self, kind: str, source_id: str, row: Row) -> None:
        self._context.receipt.kept(kind, source_id, {name: row[name] for name in MADE})

    def _endpoint(self, endpoint: _Endpoint) -> None:
        context, row = self._context, endpoint.row
        if not row["name"]:
            message = "MLflow makes no endpoint without a name"
            raise ItemError(message)
        source_id, name = row["endpoint_id"], self._context.prefixed(row["name"])
        self._names.add(source_id, row["name"], name)
        existing = self._find_endpoint(name)
        outcome = "skipped" if existing is not None else "created"
        if existing is None:
            needed = frozenset().union(*(self._needs.get(m["model_definition_id"], ()) for m in endpoint.models))
            if needed:
                self._names.wait(source_id, name, secrets=needed)
                self._missing_secrets.add(GATEWAY_ENDPOINT, name, needed)
                return
            if not context.options.dry_run:
                existing = self._create_endpoint(endpoint, name)
        context.receipt.mapped(GATEWAY_ENDPOINT, source_id, existing and existing["endpoint_id"])
        for model in endpoint.models:
            values = {key: model[key] for key in ("mapping_id", "created_by", "created_at")}
            context.receipt.kept("gateway_endpoint_model", f"{source_id}/{model['mapping_id']}", values)
        changed = existing is not None and self._set_tags(endpoint, existing)
        changed |= existing is not None and self._name_in_experiment(existing)
        context.receipt.done("updated" if changed and outcome == "skipped" else outcome, GATEWAY_ENDPOINT)

    def _find_endpoint(self, name: str) -> Any:
        answer = get_or_none(self._context.api, API + "endpoints/get", {"name": name})
        return None if answer is None else answer["endpoint"]

    def _create_endpoint(self, endpoint: _Endpoint, name: str) -> Any:
        row = endpoint.row
        body: dict[str, Any] = {
            "name": name,
            "model_configs": [self._model(model) for model in endpoint.models],
            "usage_tracking": row["usage_tracking"],
            "created_by": row["created_by"],
            "routing_strategy": row["routing_strategy"],
        }
        fallback = json_of(row, "fallback_config")
        if fallback:
            fields = ((key, fallback.get(key)) for key in ("strategy", "max_attempts"))
            body["fallback_config"] = {key: value for key, value in fields if value is not None}
        if row["experiment_id"] is not None:
            body["experiment_id"] = self._context.experiment(row["experiment_id"]).target_id
        body = {key: value for key, value in body.items() if value is not None}
        return once(
            lambda: self._context.api.post(API + "endpoints/create", body, idempotent=False)["endpoint"],
            lambda: self._find_endpoint(name),
            by_name=True,
        )

    def _model(self, model: Row) -> dict[str, Any]:
        definition = self._context.required(MODEL_DEFINITION, model["model_definition_id"])
        single = struct.unpack("f", struct.pack("f", model["weight"]))[0]
        self._context.receipt.changed("weights_in_single_precision", single != model["weight"])  # as the API has it
        body = {
            "model_definition_id": definition,
            "linkage_type": model["linkage_type"] or "PRIMARY",
            "weight": model["weight"],
        }
        return body if model["fallback_order"] is None else {**body, "fallback_order": model["fallback_order"]}

    def _set_tags(self, endpoint: _Endpoint, existing: Any) -> bool:
        """Set the tags that are not there; return whether there were any."""
        context, row = self._context, endpoint.row
        all_tags = {key: value for key, value in endpoint.tags.items() if not left_by_import(key)}
        if context.options.source_tags:
            all_tags |= object_source_tags(GATEWAY_ENDPOINT, row, endpoint.tags, export=context.export_of(row))
        fitter = Fitter(context.options.limits, context.receipt, row["endpoint_id"])
        fitted = fitter.tags("endpoint tag", all_tags, _TAG)
        existing_keys = {tag["key"] for tag in existing.get("tags", [])}
        missing = {key: value for key, value in fitted.items() if key not in existing_keys}
        for key, value in {} if context.options.dry_run else missing.items():
            body = {"endpoint_id": existing["endpoint_id"], "key": key, "value": value}
            context.api.post(API + "endpoints/set-tag", body)
        return bool(missing)

    def _name_in_experiment(self, endpoint: Any) -> bool:
        """Name an endpoint in the experiment that MLflow made for its traces; return whether that was missing."""
        experiment_id = endpoint.get("experiment_id")
        if experiment_id is None:
            return False
        api = self._context.api
        experiment = api.get("/api/2.0/mlflow/experiments/get", {"experiment_id": experiment_id})["experiment"]
        tags = {tag["key"]: tag.get("value") for tag in experiment.get("tags", [])}
        if not is_of_gateway(tags) or SOURCE_ID in tags:
            return False
        if not self._context.options.dry_run:
            self._context.target.set_experiment_tag(experiment_id, SOURCE_ID, endpoint["endpoint_id"])
        return True

    def _bind(self, row: Row) -> None:
        """Bind an endpoint to a scorer; MLflow itself has done so for those that a new scorer asks."""
        context = self._context
        endpoint = context.mapped(GATEWAY_ENDPOINT, row["endpoint_id"])
        columns = ("display_name", *MADE)
        path = f"bindings/{row['resource_type']}/{row['resource_id']}"
        context.receipt.kept("gateway_endpoint_binding", f"{row['endpoint_id']}/{path}", {n: row[n] for n in columns})
        if context.options.dry_run or endpoint is None:
            return  # where the endpoint is refused, so are its bindings with it
        body = {"endpoint_id": endpoint, "resource_type": row["resource_type"]}
        with context.refusing(GATEWAY_ENDPOINT, row["endpoint_id"], refusals.GATEWAY_REFUSED, path=path):
            body["resource_id"] = context.required(row["resource_type"], row["resource_id"])
            sent = {**body, "created_by": row["created_by"]} if row["created_by"] else body

            def look() -> Any:
                return context.api.get(API + "endpoints/bindings/list", body).get("bindings") or None

            if look() is None:
                once(lambda: context.api.post(API + "endpoints/bindings/create", sent, idempotent=False), look)
