"""What the target must hold of the small kinds: most rows as they are, tags as the kind's writer makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from mlflow_archive.api.proof.comparing import Excused, Expected
from mlflow_archive.api.proof.planning import RowsByTable, Share
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.errors import ItemError
from mlflow_archive.kinds import (
    BUDGET_POLICY,
    EVALUATION_DATASET,
    EXPERIMENT,
    GATEWAY_ENDPOINT,
    GATEWAY_SECRET,
    GUARDRAIL,
    ISSUE,
    LABEL_SCHEMA,
    MCP_SERVER,
    MODEL_DEFINITION,
    REVIEW_QUEUE,
    SCORER,
    SKILL,
    TABLES,
    WEBHOOK,
    WORKSPACE,
)
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.object_writer import ObjectRows, objects_of
from mlflow_archive.sinks.replay.objects.evaluation_datasets import EvaluationDatasetWriter, record_body
from mlflow_archive.sinks.replay.objects.gateway import EndpointWriter
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayNames
from mlflow_archive.sinks.replay.objects.issues import IssueWriter
from mlflow_archive.sinks.replay.objects.mcp import McpServerWriter
from mlflow_archive.sinks.replay.objects.skills import SkillWriter
from mlflow_archive.sinks.replay.writing.rows import Row, json_of

Family = Callable[[Share], RowsByTable]
Tables = dict[str, list[Expected]]


def own_tables(part: Share) -> Tables:
    """Return the rows of all tables of a kind as they are but for ids."""
    names = [table.name for table in TABLES.values() if table.entity == part.kind]
    return {name: part.as_they_are(name) for name in names}


class ExpectedObjects:
    """The small kinds of one workspace."""

    def __init__(self, context: ReplayContext) -> None:
        self._names = GatewayNames(context)
        self._datasets = EvaluationDatasetWriter(context)
        self._endpoints = EndpointWriter(context, self._names)
        self._issues = IssueWriter(context)
        self._mcp = McpServerWriter(context)
        self._skills = SkillWriter(context)
        self.families: Mapping[str, Family] = {
            EVALUATION_DATASET: self._evaluation_datasets,
            SCORER: self._scorers,
            GATEWAY_SECRET: lambda part: _named(part, "gateway_secrets", "secret_name"),
            MODEL_DEFINITION: lambda part: _named(part, "model_definitions", "name"),
            GATEWAY_ENDPOINT: self._gateway_endpoints,
            GUARDRAIL: lambda part: _named(part, "guardrails", "name"),
            BUDGET_POLICY: own_tables,
            ISSUE: self._issue_rows,
            LABEL_SCHEMA: own_tables,
            REVIEW_QUEUE: own_tables,
            MCP_SERVER: self._mcp_servers,
            SKILL: self._skill_rows,
            WEBHOOK: _webhooks,
            WORKSPACE: _workspaces,
        }

    def _evaluation_datasets(self, part: Share) -> RowsByTable:
        tables = own_tables(part)
        del tables["evaluation_dataset_experiments"]
        originals = {source["dataset_id"]: row for row, source in part.pairs("evaluation_datasets")}
        names = ("evaluation_datasets", "evaluation_dataset_tags", "evaluation_dataset_records")
        tables |= {name: [] for name in (*names, "evaluation_dataset_experiments")}
        records = {source["dataset_record_id"]: row for row, source in part.pairs("evaluation_dataset_records")}
        for rows in objects_of(part.chunk, "evaluation_datasets"):
            original = originals[rows.source_id]
            body = self._datasets.body(rows)
            owner, tags = {"dataset_id": original["dataset_id"]}, json.loads(body["tags"])
            user = tags.get("mlflow.user")
            computed = {name: original[name] or Excused(Rule.MADE_UP) for name in ("schema", "profile")}
            row = {**original, **computed, "name": body["name"], "created_by": user}
            tables["evaluation_datasets"].append(Expected(row, original))
            tables["evaluation_dataset_tags"] += part.tags("evaluation_dataset_tags", owner, tags)
            tables["evaluation_dataset_records"] += _records(part, rows, records)
            tables["evaluation_dataset_experiments"] += _unknown_links(part, owner)
            tables["evaluation_dataset_experiments"] += [
                Expected(
                    {**owner, "experiment_id": experiment_id}, _link(part, {**owner, "experiment_id": experiment_id})
                )
                for experiment_id in body["experiment_ids"]
            ]
        return tables

    def _scorers(self, part: Share) -> RowsByTable:
        tables = own_tables(part)
        tables["scorer_versions"] = part.changed("scorer_versions", _with_names(self._names), Rule.REFERENCE)
        target_rows = part.target_rows("scorer_versions")
        names = _with_names(_names_in(part))
        part.read_elsewhere["scorer_versions"] = [{**row, **names(row)} for row in target_rows]
        tables["online_scoring_configs"] = part.changed("online_scoring_configs", lambda row: {"sample_rate": 0.0})
        return tables

    def _gateway_endpoints(self, part: Share) -> RowsByTable:
        tables = own_tables(part)
        tables["gateway_endpoints"] = part.changed(
            "gateway_endpoints",
            lambda row: {"name": part.context.prefixed(row["name"] or ""), **_fallback(part, row)},
            Rule.REFERENCE,
        )
        originals = {source["endpoint_id"]: row for row, source in part.pairs("gateway_endpoints")}
        tables["gateway_endpoint_tags"] = []
        for rows in objects_of(part.chunk, "gateway_endpoints"):
            self._endpoints.is_due(rows)
            owner = {"endpoint_id": originals[rows.source_id]["endpoint_id"]}
            tags = self._endpoints.tags(rows)
            tables["gateway_endpoint_tags"] += part.tags("gateway_endpoint_tags", owner, tags)
        return tables

    def _issue_rows(self, part: Share) -> RowsByTable:
        bodies = {}
        originals = {source["issue_id"]: row["issue_id"] for row, source in part.pairs("issues")}
        for rows in objects_of(part.chunk, "issues"):
            bodies[originals[rows.source_id]] = self._issues.body(rows)
        return {
            "issues": part.changed(
                "issues", lambda row: {name: bodies[row["issue_id"]].get(name) for name in ("name", "created_by")}
            )
        }

    def _mcp_servers(self, part: Share) -> RowsByTable:
        tables = own_tables(part)
        unseen = {
            (row["name"], row["version"]): Rule.NOT_SHOWN
            for row in part.originals("mcp_server_versions")
            if row["status"] == "deleted" and part.is_read_over_rest
        }
        tables["mcp_server_versions"] = [
            replace(planned_row, unseen=unseen.get((planned_row.row["name"], planned_row.row["version"])))
            for planned_row in tables["mcp_server_versions"]
        ]
        tables |= {"mcp_server_tags": [], "mcp_server_version_tags": []}
        originals = {(source["name"], source["workspace"]): row for row, source in part.pairs("mcp_servers")}
        for rows in objects_of(part.chunk, "mcp_servers"):
            original = originals[rows.row["name"], rows.row["workspace"]]
            owner = {"name": original["name"], "workspace": original["workspace"]}
            tables["mcp_server_tags"] += part.tags("mcp_server_tags", owner, self._mcp.tags_of_object(rows))
            version_tags = rows.version_tags("mcp_server_version_tags")
            for version in rows.of("mcp_server_versions"):
                of_version = {**owner, "version": version["version"]}
                own_tags = self._mcp.tags_of_version(rows, version, version_tags[version["version"]])
                tags = part.tags("mcp_server_version_tags", of_version, own_tags)
                rule = unseen.get((owner["name"], version["version"]))
                tables["mcp_server_version_tags"] += [replace(planned_row, unseen=rule) for planned_row in tags]
        return tables

    def _skill_rows(self, part: Share) -> RowsByTable:
        tables = own_tables(part)
        tables |= {"skill_tags": [], "skill_version_tags": []}
        tables["skill_versions"] = [
            replace(planned_row, unseen=_unseen_if_deleted(planned_row.row)) for planned_row in tables["skill_versions"]
        ]
        originals = {(source["name"], source["organization"]): row for row, source in part.pairs("skills")}
        for rows in objects_of(part.chunk, "skills"):
            original = originals[rows.row["name"], rows.row["organization"]]
            owner = {name: original[name] for name in ("name", "workspace", "organization")}
            tables["skill_tags"] += part.tags("skill_tags", owner, self._skills.tags_of_object(rows))
            version_tags = rows.version_tags("skill_version_tags")
            for row in rows.of("skill_versions"):
                of_version = {**owner, "version": row["version"]}
                own_tags = self._skills.tags_of_version(rows, row, version_tags[row["version"]])
                tags = part.tags("skill_version_tags", of_version, own_tags)
                rule = _unseen_if_deleted(row)
                tables["skill_version_tags"] += [replace(planned_row, unseen=rule) for planned_row in tags]
        return tables


def _unseen_if_deleted(row: Row) -> Rule | None:
    """Return why no version of a skill may show: an import only keeps the number of one that is deleted."""
    return Rule.LEFT_OUT if row["status"] == "deleted" else None


def _with_names(names: GatewayNames) -> Callable[[Row], Mapping[str, str]]:
    """Return what makes the text of a scorer name endpoints by their name in the target: a database has ids there."""
    return lambda row: {"serialized_scorer": names.remap(row["serialized_scorer"])}


def _names_in(part: Share) -> GatewayNames:
    names = GatewayNames(part.context)
    for row in part.sides.target.table("gateway_endpoints").to_pylist():
        names.add(row["endpoint_id"], row["name"], row["name"])
    return names


def _fallback(part: Share, row: Row) -> Mapping[str, str | None]:
    """Return the fallback of an endpoint with the model definitions of the target, which a database names in it."""
    config = json_of(row, "fallback_config")
    if not isinstance(config, dict) or "model_definition_ids" not in config:
        return {"fallback_config": row["fallback_config"]}
    ids = part.sides.ids.of(MODEL_DEFINITION)
    mapped = [ids.get(source_id, source_id) for source_id in config["model_definition_ids"]]
    return {"fallback_config": json.dumps({**config, "model_definition_ids": mapped})}


def _named(part: Share, table: str, column: str) -> Tables:
    """Return the tables of a kind whose names are put behind that of their workspace."""
    tables = own_tables(part)
    tables[table] = part.changed(table, lambda row: {column: part.context.prefixed(row[column])})
    return tables


def _workspaces(part: Share) -> RowsByTable:
    rows = zip(part.as_they_are("workspaces"), part.source_rows("workspaces"), strict=True)
    return {
        "workspaces": [replace(row, unseen=Rule.LEFT_OUT if part.leaves_out(source) else None) for row, source in rows]
    }


def _webhooks(part: Share) -> RowsByTable:
    gone = {row["webhook_id"] for row, source in part.pairs("webhooks") if part.leaves_out(source)}
    tables = {
        "webhooks": part.changed("webhooks", lambda row: {"status": "DISABLED"}),
        "webhook_events": part.as_they_are("webhook_events"),
    }
    return {
        name: [replace(row, unseen=Rule.LEFT_OUT if row.row["webhook_id"] in gone else None) for row in rows]
        for name, rows in tables.items()
    }


def _records(part: Share, rows: ObjectRows, originals: Mapping[str, Row]) -> Iterator[Expected]:
    """Yield the records of a dataset; of several with equal inputs the first."""
    input_keys: set[str] = set()
    records = rows.of("evaluation_dataset_records")
    for row in sorted(records, key=lambda row: (row["created_time"] or 0, row["dataset_record_id"])):
        try:
            body = record_body(row, part.context)
        except ItemError:
            continue
        key = json.dumps(body["inputs"], sort_keys=True)
        original = originals[row["dataset_record_id"]]
        unseen = Rule.LEFT_OUT if key in input_keys else None
        input_keys.add(key)
        source = body.get("source")
        data = source.get("source_data") if isinstance(source, dict) else None
        trace_id = data.get("trace_id") if isinstance(data, dict) else None
        yield Expected(
            {
                **original,
                "source": None if source is None else json.dumps(source),
                "source_id": trace_id or original["source_id"],
                "input_hash": original["input_hash"] or Excused(Rule.MADE_UP),
            },
            original,
            Rule.REFERENCE,
            unseen,
        )


def _unknown_links(part: Share, owner: Mapping[str, str]) -> Iterator[Expected]:
    """Yield links to experiments that are not in the target, which do not come."""
    for row, source in part.pairs("evaluation_dataset_experiments"):
        if owner.items() <= row.items() and source["experiment_id"] not in part.sides.ids.of(EXPERIMENT):
            yield Expected(row, row, unseen=Rule.LEFT_OUT)


def _link(part: Share, key: Mapping[str, str]) -> Row | None:
    rows = part.originals("evaluation_dataset_experiments")
    return next((row for row in rows if all(row[name] == value for name, value in key.items())), None)
