"""Scorers with their versions, and automatic scoring, which arrives switched off.

MLflow numbers a new version one above the highest that is there. A number that is not to be, because it was deleted
at the source or is refused here, is taken by a filler, which is deleted in the end; so numbers come out equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds import SCORER
from mlflow_archive.sinks.replay.object_writer import ObjectRows
from mlflow_archive.sinks.replay.objects.gateway_names import GatewayWriter
from mlflow_archive.sinks.replay.writing.failures import (
    get_or_none,
    is_about_one_item,
    is_missing,
    is_unknown_there,
    once,
)
from mlflow_archive.sinks.replay.writing.rows import Row

SCORER_VERSION: Final = "scorer_version"
"""In the receipt: ``<scorer id>/<version>`` at the source to the version in the target."""

_API: Final = "/api/3.0/mlflow/scorers/"
_FILLER: Final = json.dumps({"mlflow_archive": "takes a version number until the import is done"})


@dataclass(slots=True, kw_only=True)
class _TargetScorer:
    """The scorer of a name in the target; ``texts`` maps versions to texts, empty where there is none yet."""

    experiment_id: str | None
    name: str
    scorer_id: str | None = None
    texts: dict[int, str] = field(default_factory=dict)

    @property
    def next(self) -> int:
        return max(self.texts, default=0) + 1


class ScorerWriter(GatewayWriter):
    """Writes scorers; one that exists is found by its name in the experiment, its versions by number and text."""

    kinds = (SCORER,)
    table, code = "scorers", refusals.SCORER_REFUSED

    def is_due(self, rows: ObjectRows) -> bool:
        self._context.experiment(rows.row["experiment_id"])
        name, texts = rows.row["name"], self._texts(rows)
        if not texts:
            message = f"scorer {name!r} has no version, and MLflow makes none without"
            raise ItemError(message)
        secrets = frozenset().union(*(self._names.secrets_for(text) for text in texts.values()))
        if secrets:
            self._names.wait(rows.source_id, secrets=secrets)
        return not self._names.missing_secrets.add(SCORER, name, secrets)

    def _texts(self, rows: ObjectRows) -> dict[int, str]:
        """Return the texts of the versions, by number, as the target is to have them."""
        versions = rows.of("scorer_versions")
        return {version["version"]: self._names.remap(version["serialized_scorer"]) for version in versions}

    def write_one(self, rows: ObjectRows) -> None:
        context, texts = self._context, self._texts(rows)
        existing = self._look(context.experiment(rows.row["experiment_id"]).target_id, rows.row["name"])
        existed = existing.scorer_id is not None
        matched = _match(texts, existing.texts)
        missing = {number: text for number, text in texts.items() if number not in matched}
        registered = self._register(rows, existing, missing)
        self._map_all(rows, registered | matched)
        context.receipt.mapped(SCORER, rows.source_id, existing.scorer_id)
        if missing and not registered and not existed:
            context.receipt.done("refused", SCORER)
            return
        if not existed and existing.scorer_id is not None:
            context.receipt.made(SCORER, existing.scorer_id)
        changed = self._switch_off(rows, existing) or bool(registered)
        context.receipt.done("created" if not existed else "updated" if changed else "skipped", SCORER)

    def _map_all(self, rows: ObjectRows, targets: Mapping[int, int]) -> None:
        for version in sorted(rows.of("scorer_versions"), key=lambda version: int(version["version"])):
            if version["version"] in targets:
                self._map(rows, version, targets[version["version"]])

    def _map(self, rows: ObjectRows, version: Row, target: int) -> None:
        number = version["version"]
        source = f"{rows.source_id}/{number}"
        self._context.receipt.mapped(SCORER_VERSION, source, str(target))
        if number != target:
            name = rows.row["name"]
            self._context.receipt.note(
                f"version {number} of scorer {name!r} is version {target} in the target, which had others already"
            )
        self._context.receipt.kept(SCORER_VERSION, source, {"creation_time": version["creation_time"]})

    def _look(self, experiment_id: str | None, name: str) -> _TargetScorer:
        scorer = _TargetScorer(experiment_id=experiment_id, name=name)
        if experiment_id is not None:
            params = {"experiment_id": experiment_id, "name": name}
            answer = get_or_none(self._context.api, _API + "versions", params) or {}
            for version in answer.get("scorers", []):
                scorer.scorer_id = version["scorer_id"]
                scorer.texts[int(version["scorer_version"])] = version["serialized_scorer"]
        return scorer

    def _register(self, rows: ObjectRows, existing: _TargetScorer, missing: Mapping[int, str]) -> dict[int, int]:
        """Make the missing versions and return their numbers in the target."""
        if self._context.options.dry_run:
            return {number: number for number in missing}
        registered: dict[int, int] = {}
        for number, text in sorted(missing.items()):
            while existing.next < number:
                self._register_one(existing, _FILLER)
            try:
                registered[number] = self._register_one(existing, text)
            except (ItemError, ServerError) as exc:
                if is_unknown_there(exc) or not is_about_one_item(exc):
                    raise
                path, reason = f"versions/{number}", str(exc)
                self._context.receipt.refuse(SCORER, rows.source_id, path, self.code, reason)
        self._remove_fillers(existing)
        return registered

    def _register_one(self, existing: _TargetScorer, text: str) -> int:
        body = {"experiment_id": existing.experiment_id, "name": existing.name, "serialized_scorer": text}
        expected = existing.next

        def again() -> Any:
            now = self._look(existing.experiment_id, existing.name)
            if now.next == expected:
                return None
            return {"version": expected, "scorer_id": now.scorer_id}

        answer = once(lambda: self._context.api.post(_API + "register", body, idempotent=False), again)
        version = int(answer["version"])
        existing.texts[version], existing.scorer_id = text, answer["scorer_id"]
        return version

    def _remove_fillers(self, existing: _TargetScorer) -> None:
        fillers = [number for number, text in existing.texts.items() if text == _FILLER]
        body: dict[str, Any] = {"experiment_id": existing.experiment_id, "name": existing.name}
        if len(fillers) == len(existing.texts):
            if fillers:
                self._delete(body)  # else MLflow keeps a scorer without versions
            existing.texts, existing.scorer_id = {}, None
            return
        for number in fillers:
            self._delete({**body, "version": number})
            del existing.texts[number]

    def _delete(self, body: dict[str, Any]) -> None:
        """Delete what may be deleted already, by a request that was repeated."""
        try:
            self._context.api.delete(_API + "delete", body)
        except ServerError as exc:
            if not is_missing(exc):
                raise

    def _switch_off(self, rows: ObjectRows, existing: _TargetScorer) -> bool:
        """Bring in automatic scoring at a rate of 0; what the target has stays as it is. Return whether it is new."""
        configs = rows.of("online_scoring_configs")
        if not configs:
            return False
        receipt, name = self._context.receipt, rows.row["name"]
        for config in configs:
            values = {key: config[key] for key in ("sample_rate", "filter_string", "experiment_id")}
            receipt.kept("online_scoring_config", config["online_scoring_config_id"], values)
        if existing.scorer_id is None:
            return False
        params = {"scorer_ids": existing.scorer_id}
        if self._context.api.get(_API + "online-configs", params).get("configs"):
            return False
        receipt.changed("automatic_scoring_switched_off", len(configs))
        rates = ", ".join(f"{config['sample_rate']:g}" for config in configs)
        receipt.note(f"automatic scoring by {name!r} is switched off; at the source its sample rate was {rates}")
        if not self._context.options.dry_run:
            config = configs[0]
            body = {"experiment_id": existing.experiment_id, "name": existing.name, "sample_rate": 0.0}
            self._context.api.put_json(_API + "online-config", {**body, "filter_string": config["filter_string"]})
        return True


def _match(texts: Mapping[int, str], target_texts: Mapping[int, str]) -> dict[int, int]:
    """Return which version of the target each version is: that of the same number and text, else of the same text."""
    matched = {
        number: number for number, text in texts.items() if number in target_texts and _same(text, target_texts[number])
    }
    free = [number for number in sorted(target_texts) if number not in matched]
    for number in sorted(texts.keys() - matched.keys()):
        equal = next((candidate for candidate in free if _same(texts[number], target_texts[candidate])), None)
        if equal is not None:
            matched[number] = equal
            free.remove(equal)
    return matched


def _same(text: str, other_text: str) -> bool:
    """Return whether two texts are the same scorer: MLflow rewrites the text of one that asks an endpoint."""
    if text == other_text:
        return True
    try:
        return bool(parse_json(text) == parse_json(other_text))
    except ValueError:
        return False
