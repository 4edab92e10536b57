"""Scorers of one workspace, with all their versions and their online scoring.

The server shows none of a deleted experiment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds import SCORER
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.rest.cells import Row
from mlflow_archive.sources.rest.lists import Page, all_at_once
from mlflow_archive.sources.rest.scope import Batch, Contents, Scope, TableRows, gap_of

_SEVERAL_EXPERIMENTS: Final = (3, 17)
"""The first MLflow that is known to list scorers of several experiments at once."""
_SCORERS: Final = "/api/3.0/mlflow/scorers"
_PREFIX: Final = "gateway:/"
_PLACES: Final = ("instructions_judge_pydantic_data", "builtin_scorer_pydantic_data", "third_party_scorer_data")
_NESTED: Final = ("memory_augmented_judge_data", "base_judge")


def plan_scorers(scope: Scope) -> Iterator[Batch]:
    """Yield the scorers of the selected experiments, those that are not deleted, in batches."""
    active_ids = scope.active_experiment_ids
    if scope.only_named or not active_ids or scope.lacks(f"{_SCORERS}/list", {"experiment_id": active_ids[0]}):
        return
    for number, ids in enumerate(scope.groups(active_ids)):
        yield Batch(name=f"scorers-{number:05d}", read=_read_scorers, request=ids)


def hidden_scorers(scope: Scope, bound_ids: set[str]) -> list[Gap]:
    """Return a gap for each scorer that an endpoint serves and no list shows: its experiment is deleted.

    The lists are asked for anew, so that endpoints and scorers may be read in any order. Where one cannot be read,
    nothing is known of the experiment.
    """
    if not (bound_ids and scope.selection.wants_kind(SCORER) and scope.selection.deleted):
        return []
    lists = Contents(scope, SCORER)
    pages = (page for ids in scope.groups(scope.active_experiment_ids) for _, page in _lists(scope, ids))
    shown_ids = {str(raw.get("scorer_id")) for raw in lists.listed(pages)}
    reason = "its experiment is deleted, so the server does not show it; restore the experiment, or export the database"
    if lists.gaps:
        reason = "it is in no list of scorers that could be read"
    return [gap_of(SCORER, scorer_id, "", reason) for scorer_id in sorted(bound_ids - shown_ids)]


def _lists(scope: Scope, experiment_ids: Sequence[str]) -> Iterator[tuple[str, Page]]:
    """Yield the list of the scorers of some experiments, whole or by experiment, with the id of which it is."""
    if scope.version >= _SEVERAL_EXPERIMENTS:
        searches: list[dict[str, Any]] = [{"experiment_ids": list(experiment_ids)}]
    else:
        searches = [{"experiment_id": experiment_id} for experiment_id in experiment_ids]
    for search in searches:
        for page in all_at_once(scope, SCORER, f"{_SCORERS}/list", "scorers", **search):
            yield str(search.get("experiment_id", "")), page


def _read_scorers(scope: Scope, experiment_ids: Sequence[str], known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, SCORER)
    for experiment_id, page in _lists(scope, experiment_ids):
        for raw in contents.listed([page], experiment_id):
            _read_scorer(scope, str(raw.get("experiment_id")), str(raw.get("scorer_name")), contents)
    if ids := [row["scorer_id"] for row in contents.rows.get("scorers", ())]:
        configs = all_at_once(scope, SCORER, f"{_SCORERS}/online-configs", "configs", scorer_ids=ids)
        for raw in contents.listed(configs, part="online configs"):
            contents.add(str(raw.get("scorer_id")), raw, _config_rows, "online_config")
    yield from contents.chunks()


def _read_scorer(scope: Scope, experiment_id: str, name: str, contents: Contents) -> None:
    """Add a scorer with all its versions."""
    versions = all_at_once(scope, SCORER, f"{_SCORERS}/versions", "scorers", experiment_id=experiment_id, name=name)
    rows: dict[str, Row] = {}
    for raw in contents.listed(versions, f"{experiment_id}/{name}"):
        scorer_id = str(raw.get("scorer_id") or f"{experiment_id}/{name}")
        if contents.add(scorer_id, raw, partial(_version_rows, scope, scorer_id)) is not None:
            rows[scorer_id] = {"scorer_id": scorer_id, "experiment_id": experiment_id, "name": name}
    contents.add_rows({"scorers": rows.values()})


def _version_rows(scope: Scope, scorer_id: str, version: Fields) -> TableRows:
    version.known("scorer_name", "experiment_id")  # those of the list of scorers
    text = with_endpoint_id(version.required("serialized_scorer"), scope.endpoint_ids)
    names = {"version": "scorer_version"}
    row = row_of("scorer_versions", version, names, scorer_id=scorer_id, serialized_scorer=text)
    return {"scorer_versions": [row]}


def _config_rows(config: Fields) -> TableRows:
    return {"online_scoring_configs": [row_of("online_scoring_configs", config)]}


def with_endpoint_id(serialized: str, endpoint_ids: Mapping[str, str]) -> str:
    """Return a scorer's text with the id of its endpoint instead of the name; any other text unchanged.

    A scorer that asks a gateway endpoint is kept with the endpoint's id; the server puts the endpoint's name in its
    place before it answers. The same text with the id again is what its database has.

    >>> with_endpoint_id('{"builtin_scorer_pydantic_data": {"model": "gateway:/fast"}}', {"fast": "e-1"})
    '{"builtin_scorer_pydantic_data": {"model": "gateway:/e-1"}}'
    """
    try:
        scorer = parse_json(serialized)
    except ValueError:
        return serialized
    if not isinstance(scorer, dict):
        return serialized
    holder = _holder(scorer)
    model = holder.get("model") if holder is not None else None
    if holder is None or not isinstance(model, str) or not model.startswith(_PREFIX):
        return serialized
    endpoint_id = endpoint_ids.get(model.removeprefix(_PREFIX))
    if endpoint_id is None:
        return serialized
    holder["model"] = _PREFIX + endpoint_id
    return json.dumps(scorer)


def _holder(scorer: dict[str, Any]) -> dict[str, Any] | None:
    """Return the object in a scorer that names its model."""
    for place in _PLACES[:2]:
        if data := scorer.get(place):
            return data if isinstance(data, dict) else None
    outer, inner = _NESTED
    if data := scorer.get(outer):
        nested = data.get(inner) if isinstance(data, dict) else None
        return _holder(nested) if isinstance(nested, dict) else None
    data = scorer.get(_PLACES[2])
    return data if isinstance(data, dict) else None
