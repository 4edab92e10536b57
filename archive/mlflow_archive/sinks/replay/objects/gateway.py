"""The AI gateway: model definitions and endpoints, found by their names.

No archive holds secrets. A model definition is made where the target has a secret of the same name, that somebody
entered there; else it waits, and what needs it, and the receipt says for which secrets.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from mlflow_archive.errors import ItemError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import GATEWAY_ENDPOINT, GATEWAY_SECRET, MODEL_DEFINITION
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.object_writer import ObjectRows
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayNames, GatewayWriter
from mlflow_archive.sinks.replay.places.experiments import SOURCE_ID, is_of_gateway
from mlflow_archive.sinks.replay.writing.failures import get_or_none
from mlflow_archive.sinks.replay.writing.rows import Row, json_of
from mlflow_archive.sinks.replay.writing.waiting import Waiting

API: Final = "/api/3.0/mlflow/gateway/"
MADE: Final = ("created_by", "created_at", "last_updated_by", "last_updated_at")
_TAG: Final = 5000


class SecretWriter(GatewayWriter):
    """Finds the secrets of the gateway, of which none is ever made."""

    kinds = (GATEWAY_SECRET,)
    table, code, id_field = "gateway_secrets", refusals.GATEWAY_REFUSED, "secret_id"

    def find(self, rows: ObjectRows) -> Any:
        name = self._context.prefixed(rows.row["secret_name"])
        return _named(self._context, "secrets/list", "secrets", "secret_name", name)

    def is_creatable(self, rows: ObjectRows) -> bool:
        name = self._context.prefixed(rows.row["secret_name"])
        self._names.wait(rows.source_id, secrets=frozenset({name}))
        return not self._names.missing_secrets.add(GATEWAY_SECRET, name, {name})

    def finish(self) -> None:
        """Report all kinds of objects that need secrets: all chunks have come."""
        self._names.missing_secrets.report()


class DefinitionWriter(GatewayWriter):
    """Writes model definitions."""

    kinds = (MODEL_DEFINITION,)
    table, code, receipt_columns = "model_definitions", refusals.GATEWAY_REFUSED, MADE
    api, answer, id_field = API + "model-definitions/create", "model_definition", "model_definition_id"

    def find(self, rows: ObjectRows) -> Any:
        name = self._context.prefixed(rows.row["name"])
        return _named(self._context, "model-definitions/list", "model_definitions", "name", name)

    def is_creatable(self, rows: ObjectRows) -> bool:
        row, name = rows.row, self._context.prefixed(rows.row["name"])
        if self._context.mapped(GATEWAY_SECRET, row["secret_id"]) is not None:
            return True
        if row["secret_id"] is None:
            message = f"model definition {name!r} lost its secret at the source, and MLflow makes none without"
            raise ItemError(message)
        secrets = self._names.secrets_of(row["secret_id"])
        if not secrets:
            message = f"model definition {name!r} needs a secret that the archive does not name"
            raise ItemError(message)
        self._names.wait(rows.source_id, secrets=secrets)
        return not self._names.missing_secrets.add(MODEL_DEFINITION, name, secrets)

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        return {
            "name": self._context.prefixed(rows.row["name"]),
            "secret_id": self._context.mapped(GATEWAY_SECRET, rows.row["secret_id"]),
            "provider": rows.row["provider"],
            "model_name": rows.row["model_name"],
            "created_by": rows.row["created_by"] or None,
        }

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        if not is_new and any(existing[key] != rows.row[key] for key in ("provider", "model_name")):
            name = self._context.prefixed(rows.row["name"])
            self._context.receipt.note(f"model definition {name!r} of the target is another model there, and stays so")
        return super().complete(rows, existing, is_new=is_new)


class EndpointWriter(GatewayWriter):
    """Writes endpoints, and in the end what they are bound to."""

    kinds = (GATEWAY_ENDPOINT,)
    table, code = "gateway_endpoints", refusals.GATEWAY_REFUSED
    api, answer, id_field = API + "endpoints/create", "endpoint", "endpoint_id"

    def __init__(self, context: ReplayContext, names: GatewayNames) -> None:
        super().__init__(context, names)
        self._waiting = Waiting[str, tuple[ObjectRows, Row]]()

    def is_due(self, rows: ObjectRows) -> bool:
        for binding in rows.of("gateway_endpoint_bindings"):
            self._waiting.add(binding["resource_type"], (rows, binding))
        if not rows.row["name"]:
            message = "MLflow makes no endpoint without a name"
            raise ItemError(message)
        self._names.add(rows.source_id, rows.row["name"], self._context.prefixed(rows.row["name"]))
        return True

    def find(self, rows: ObjectRows) -> Any:
        name = self._context.prefixed(rows.row["name"])
        response = get_or_none(self._context.api, API + "endpoints/get", {"name": name})
        return None if response is None else response["endpoint"]

    def is_creatable(self, rows: ObjectRows) -> bool:
        models, name = rows.of("gateway_endpoint_models"), self._context.prefixed(rows.row["name"])
        secrets = self._names.secrets_of(*(model["model_definition_id"] for model in models))
        if secrets:
            self._names.wait(rows.source_id, name, secrets=secrets)
        return not self._names.missing_secrets.add(GATEWAY_ENDPOINT, name, secrets)

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        row, fallback = rows.row, json_of(rows.row, "fallback_config")
        body: dict[str, Any] = {
            "name": self._context.prefixed(row["name"]),
            "model_configs": [self._model(model) for model in rows.of("gateway_endpoint_models")],
            "usage_tracking": row["usage_tracking"],
            "created_by": row["created_by"],
            "routing_strategy": row["routing_strategy"],
        }
        if fallback:
            fields = ((key, fallback.get(key)) for key in ("strategy", "max_attempts"))
            body["fallback_config"] = {key: value for key, value in fields if value is not None}
        if row["experiment_id"] is not None:
            body["experiment_id"] = self._context.experiment(row["experiment_id"]).target_id
        return body

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        for model in rows.of("gateway_endpoint_models"):
            values = {key: model[key] for key in ("mapping_id", "created_by", "created_at")}
            self._context.receipt.kept("gateway_endpoint_model", f"{rows.source_id}/{model['mapping_id']}", values)
        if existing is None:
            return super().complete(rows, existing, is_new=is_new)
        return self._set_tags(rows, existing) | self._name_in_experiment(existing)

    def finish(self) -> None:
        for _, (rows, row) in self._waiting.pop_all():
            self._bind(rows, row)

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

    def tags(self, rows: ObjectRows) -> dict[str, str]:
        """Return the tags that an endpoint gets."""
        tags = rows.tags("gateway_endpoint_tags")
        return self.target_tags(rows, tags, rows.row, group=GATEWAY_ENDPOINT, words="endpoint tag", limit=_TAG)

    def _set_tags(self, rows: ObjectRows, existing: Any) -> bool:
        """Set the tags that are not there; return whether there were any."""
        existing_keys = {tag["key"] for tag in existing.get("tags", [])}
        missing = {key: value for key, value in self.tags(rows).items() if key not in existing_keys}
        for key, value in missing.items():
            body = {"endpoint_id": existing["endpoint_id"], "key": key, "value": value}
            self.send(API + "endpoints/set-tag", body)
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

    def _bind(self, rows: ObjectRows, row: Row) -> None:
        """Bind an endpoint to a scorer; MLflow itself has done so for those that a new scorer asks."""
        context, path = self._context, f"bindings/{row['resource_type']}/{row['resource_id']}"
        endpoint = context.mapped(GATEWAY_ENDPOINT, rows.source_id)
        values = {name: row[name] for name in ("display_name", *MADE)}
        context.receipt.kept("gateway_endpoint_binding", f"{rows.source_id}/{path}", values)
        if context.options.dry_run or endpoint is None:
            return  # where the endpoint is refused, so are its bindings with it
        body = {"endpoint_id": endpoint, "resource_type": row["resource_type"]}
        with self.refusing(rows, path):
            body["resource_id"] = context.required(row["resource_type"], row["resource_id"])
            sent = {**body, "created_by": row["created_by"]} if row["created_by"] else body

            def look() -> Any:
                return context.api.get(API + "endpoints/bindings/list", body).get("bindings") or None

            self.add_missing(API + "endpoints/bindings/create", sent, look)


def _named(context: ReplayContext, path: str, field: str, name_field: str, name: str) -> Any:
    """Return what has a name among all that the gateway lists, None where nothing has."""
    listed = context.api.get(API + path, {}).get(field, [])
    return next((entry for entry in listed if entry[name_field] == name), None)
