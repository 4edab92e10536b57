"""The AI gateway's configuration, from a real server's database into another real server; its secrets never."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_archive.format.refusals import SECRET_NEEDED
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from tests.sinks.filled_servers import Both, Rows, get
from tests.support.everything import SECRETS

P = "mlflow_export_import."
WAITING = {
    "gateway_secret": "1 gateway secret ('key')",
    "model_definition": "2 model definitions ('first', 'second')",
    "gateway_endpoint": "2 gateway endpoints ('plain', 'split')",
    "scorer": "3 scorers ('judge ü', 'lost', 'other')",
    "guardrail": "1 guardrail ('guard')",
}
TIMES = ("created_at", "last_updated_at")


def _listed(both: Both, side: int, path: str, field: str, **params: str) -> Rows:
    found: Rows = get((both.source, both.target)[side], f"gateway/{path}", **params)[field]
    return sorted(found, key=lambda entry: str(entry.get("name", "")))


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}


@pytest.mark.parametrize(("kind", "what"), WAITING.items())
def test_what_needs_a_secret_waits_and_says_for_which(both: Both, kind: str, what: str) -> None:
    ((code, path, reason),) = both.refusals(0, kind)
    assert (code, path) == (SECRET_NEEDED, "")
    assert (
        reason == f"{what}: no archive holds secrets; enter 'key' in the target's gateway again, then repeat the import"
    )
    assert both.refusals(1, kind) == []


def test_secrets_are_nowhere(both: Both) -> None:
    (secret,) = _listed(both, 1, "secrets/list", "secrets")
    assert "another" not in str(secret)  # what the test entered itself
    assert secret["secret_id"] == both.ids("gateway_secret")[both.filled.gateway.secrets["key"]]
    told = str([report.details for report in both.reports])
    with open_archive(both.archive) as archive:
        told += str([archive.table(name).to_pylist() for name in TABLES])
    assert not [marker for marker in SECRETS if marker in told]


def test_model_definitions_keep_their_fields(both: Both) -> None:
    source, target = (_listed(both, side, "model-definitions/list", "model_definitions") for side in (0, 1))
    assert [row["name"] for row in source] == ["first", "second"]
    ours = ("model_definition_id", "secret_id", *TIMES)
    assert [_without(row, *ours) for row in target] == [_without(row, *ours) for row in source]
    ids = both.ids("model_definition")
    assert [row["model_definition_id"] for row in target] == [ids[row["model_definition_id"]] for row in source]


def test_endpoints_keep_models_tags_and_experiment(both: Both) -> None:
    source, target = (_listed(both, side, "endpoints/list", "endpoints") for side in (0, 1))
    assert [row["name"] for row in source] == ["plain", "split"]
    ours = ("endpoint_id", "model_mappings", "tags", "experiment_id", "last_updated_at", "created_at")
    definitions, endpoints = both.ids("model_definition"), both.ids("gateway_endpoint")
    for one, other in zip(source, target, strict=True):
        assert _without(other, *ours) == _without(one, *ours)
        assert other["endpoint_id"] == endpoints[one["endpoint_id"]]
        assert ("experiment_id" in other) == ("experiment_id" in one)
        if "experiment_id" in one:
            assert (one["experiment_id"], other["experiment_id"]) == both.main
        models = [
            sorted(
                (m["linkage_type"], m["weight"], m.get("fallback_order"), ids[m["model_definition_id"]]) for m in maps
            )
            for maps, ids in (
                (one["model_mappings"], definitions),
                (other["model_mappings"], {value: value for value in definitions.values()}),
            )
        ]
        assert models[0] == models[1]
        tags = {tag["key"]: tag.get("value", "") for tag in other["tags"]}
        assert {tag["key"]: tag.get("value", "") for tag in one.get("tags", [])}.items() <= tags.items()
        assert tags[f"{P}gateway_endpoint.endpoint_id"] == one["endpoint_id"]
        assert tags[f"{P}gateway_endpoint.created_at"] == str(one["created_at"])


def test_bindings_name_the_scorers_of_the_target(both: Both) -> None:
    endpoints, scorers = both.ids("gateway_endpoint"), both.ids("scorer")
    source, target = (_listed(both, side, "endpoints/bindings/list", "bindings") for side in (0, 1))
    assert len(source) == 4
    expected = sorted((endpoints[row["endpoint_id"]], scorers[row["resource_id"]]) for row in source)
    assert sorted((row["endpoint_id"], row["resource_id"]) for row in target) == expected


def test_guardrails_keep_scorer_and_endpoints(both: Both) -> None:
    (source,), (target,) = (_listed(both, side, "guardrails/list", "guardrails", max_results="9") for side in (0, 1))
    assert (target["name"], target["stage"], target["action"]) == (source["name"], source["stage"], source["action"])
    assert target["action_endpoint_id"] == source["action_endpoint_id"] == "plain"  # MLflow lists the name
    assert target["scorer"]["scorer_id"] == both.ids("scorer")[source["scorer"]["scorer_id"]]
    assert target["scorer"]["scorer_version"] == source["scorer"]["scorer_version"]
    for name, endpoint in both.filled.gateway.endpoints.items():
        orders = [
            [
                config.get("execution_order")
                for config in _listed(both, side, "guardrails/list-for-endpoint", "configs", endpoint_id=endpoint_id)
            ]
            for side, endpoint_id in ((0, endpoint), (1, both.ids("gateway_endpoint")[endpoint]))
        ]
        assert orders[0] == orders[1], name


def test_budgets_keep_their_fields(both: Both) -> None:
    source, target = (_listed(both, side, "budgets/list", "budget_policies", max_results="9") for side in (0, 1))
    ours = ("budget_policy_id", "target_value", *TIMES)
    by_scope = [{row["target_scope"]: row for row in rows} for rows in (source, target)]
    assert {scope: _without(row, *ours) for scope, row in by_scope[1].items()} == {
        scope: _without(row, *ours) for scope, row in by_scope[0].items()
    }
    endpoints = both.ids("gateway_endpoint")
    assert by_scope[1]["ENDPOINT"]["target_value"] == endpoints[by_scope[0]["ENDPOINT"]["target_value"]]
    assert len(target) == len(source) == 2


@pytest.mark.parametrize(
    "kind", ["gateway_secret", "model_definition", "gateway_endpoint", "guardrail", "budget_policy"]
)
def test_another_import_changes_nothing(both: Both, kind: str) -> None:
    assert set(both.outcomes(2, kind)) == {"skipped"}
