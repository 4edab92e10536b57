"""What the target must hold of registered models and prompts, with their versions and the files of these."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mlflow_archive.api.proof.comparing import Excused, Expected
from mlflow_archive.api.proof.planning import RowsByTable, Share
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.api.proof.runs import expected_files
from mlflow_archive.api.proof.versions import identities_of
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format.source_tags import shorten_key
from mlflow_archive.kinds import LOGGED_MODEL, MODEL_VERSION, REGISTERED_MODEL, RUN, TABLES, named_owner, owner_id
from mlflow_archive.kinds.version_source import OF_MODEL, OF_RUN, parse_reference
from mlflow_archive.sinks.replay.object_writer import objects_of
from mlflow_archive.sinks.replay.registry.carriers import CARRIES, NOTHING
from mlflow_archive.sinks.replay.registry.planned_version import (
    EXPERIMENT_IDS,
    merged_model,
    plan_registered_model,
    plan_version,
)
from mlflow_archive.sinks.replay.registry.registry_rows import (
    DELETED_STAGE,
    RegisteredModelRows,
    VersionRows,
    registered_model_of,
)
from mlflow_archive.sinks.replay.registry.version_sources import (
    ANY_SOURCE,
    ANYWHERE,
    OF_VERSION,
    PROMPT_SOURCES,
)
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

Tables = dict[str, list[Expected]]


def match_versions(part: Share) -> None:
    """Find registered models of the archive in the target, with the numbers of their versions there."""
    identities = identities_of(part.source_rows("model_versions"))
    sides, receipt = part.sides, part.context.receipt
    for model in part.source_rows("registered_models"):
        owner = named_owner(model["name"], model["workspace"])
        name_in_receipt = sides.ids.of(REGISTERED_MODEL).get(owner)
        usual = part.context.options.model_name(model["name"], model["workspace"])
        versions = identities.get(owner, {})
        name = name_in_receipt or sides.registry.find(part.workspace, usual, model, versions)
        sides.ids.add(REGISTERED_MODEL, owner, name)
        receipt.mapped(REGISTERED_MODEL, owner, name)
        merges = part.context.options.merge_models
        numbers, copies = sides.registry.numbers((part.workspace, name), versions, merges=merges)
        sides.versions.numbers[owner] = numbers
        if copies is not None:
            sides.versions.merged[owner] = copies
        for number, target_number in numbers.items():
            receipt.mapped(MODEL_VERSION, f"{owner}/{number}", f"{name}/{target_number}")


def expected_registered_models(part: Share) -> RowsByTable:
    """Return all rows of registered models."""
    names = ("registered_models", "registered_model_tags", "model_versions", "model_version_tags", "artifacts")
    tables: Tables = {name: [] for name in names}
    originals = {source["name"]: row for row, source in part.pairs("registered_models")}
    targets = _of_archive(part)
    for model in map(registered_model_of, objects_of(part.chunk, "registered_models")):
        original = originals[model.info["name"]]
        owner = {"name": original["name"], "workspace": original["workspace"]}
        _add_model(part, model, original, tables)
        for number, version in model.versions.items():
            if not version.deleted:
                target_number = part.sides.versions.number(model.owner_id, number)
                _add_version(part, model, version, {**owner, "version": target_number}, targets, tables)
        for name in ("model_versions", "model_version_tags"):
            tables[name] += _of_deleted(part, model, name, owner)
    return {**tables, "registered_model_aliases": list(_aliases(part))}


def _add_model(part: Share, model: RegisteredModelRows, original: Row, tables: Tables) -> None:
    plan = plan_registered_model(model, part.context)
    owner = {"name": original["name"], "workspace": original["workspace"]}
    not_set: Mapping[str, Any] = {}
    if _is_merged(part, model, owner):
        merged = merged_model(plan, *_of_target(part, model, owner))
        plan, not_set = merged.plan, {name: value for name, value in merged.not_set.items() if value is not None}
        _leave_out_others(part, "registered_model_tags", owner, {*plan.tags, *not_set.get("tags", ())})
    description = Excused(Rule.KEPT) if "description" in not_set else plan.description
    tables["registered_models"].append(Expected({**original, "description": description}, original))
    tags = {**plan.tags, **dict.fromkeys(not_set.get("tags", ()), Excused(Rule.KEPT))}
    tables["registered_model_tags"] += part.tags("registered_model_tags", owner, tags, _key_of(part))


def _is_merged(part: Share, model: RegisteredModelRows, owner: Mapping[str, str]) -> bool:
    """Return whether versions were appended to a model that no import of this one made."""
    place = (owner["workspace"], owner["name"])
    return model.owner_id in part.sides.versions.merged and not part.sides.registry.is_the_same(place, model.info)


def _of_target(part: Share, model: RegisteredModelRows, owner: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the tags and the description that a model of the target had before the import.

    These are what the receipt says that the model of the archive did not get; without one, whatever is there.
    """
    tags = {row["key"]: row["value"] or "" for row in _rows_of(part, "registered_model_tags", owner)}
    texts = [row["description"] or "" for row in _rows_of(part, "registered_models", owner)]
    text = next(iter(texts), "")
    if part.sides.versions.not_set is None:
        return tags, text
    not_set = part.sides.versions.not_set.get(model.owner_id, {})
    known_keys = {EXPERIMENT_IDS, *not_set.get("tags", ())}
    return {key: value for key, value in tags.items() if key in known_keys}, text if "description" in not_set else ""


def _rows_of(part: Share, table: str, owner: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a table that a model of the target has."""
    return [row for row in part.target_rows(table) if owner.items() <= row.items()]


def _leave_out_others(part: Share, table: str, owner: Mapping[str, str], keys: Collection[str]) -> None:
    """Do not look at what a model of the target has beside that of the archive: its own, with other ``keys``."""
    column = TABLES[table].key[-1]
    part.read_elsewhere[table] = [
        row for row in part.target_rows(table) if not owner.items() <= row.items() or row[column] in keys
    ]


def _aliases(part: Share) -> Iterator[Expected]:
    """Yield the aliases; those of versions that a selection left out need not be there.

    Of a merged model those stay where they are that the target had.
    """
    versions = {(row["name"], row["workspace"], row["version"]) for row in part.source_rows("model_versions")}
    merged = part.sides.versions.merged
    numbers = {(row["name"], row["alias"]): row["version"] for row in part.target_rows("registered_model_aliases")}
    _leave_out_other_aliases(part)
    for planned_row, source in zip(
        part.as_they_are("registered_model_aliases"), part.source_rows("registered_model_aliases"), strict=True
    ):
        row, owner_id = planned_row.row, named_owner(source["name"], source["workspace"])
        stays = numbers.get((row["name"], row["alias"]), row["version"]) != row["version"]
        if (source["name"], source["workspace"], source["version"]) not in versions:
            number = Excused(Rule.LEFT_OUT) if owner_id in merged else row["version"]
            yield replace(planned_row, row={**row, "version": number}, unseen=Rule.LEFT_OUT)
        elif owner_id in merged and stays and _may_stay(part, owner_id, row["alias"]):
            yield replace(planned_row, row={**row, "version": Excused(Rule.KEPT)})
        else:
            yield planned_row


def _leave_out_other_aliases(part: Share) -> None:
    for model, _ in _merged_models(part):
        own = {row["alias"] for row in part.source_rows("registered_model_aliases") if row["name"] == model["name"]}
        _leave_out_others(part, "registered_model_aliases", part.named(model), own)


def _may_stay(part: Share, owner_id: str, alias: str) -> bool:
    """Return whether the receipt says that a merged model did not get an alias; without a receipt it may be so."""
    not_set = part.sides.versions.not_set
    return not_set is None or alias in not_set.get(owner_id, {}).get("aliases", {})


def _of_archive(part: Share) -> dict[tuple[str, int], Row]:
    """Return the versions of the target by name and number, without those that are deleted: fillers, and what else.

    Of a merged model only those that say they are versions of the archive.
    """
    rows = [row for row in part.target_rows("model_versions") if row["current_stage"] != DELETED_STAGE]
    for model, copies in _merged_models(part):
        name = part.named(model)["name"]
        rows = [row for row in rows if row["name"] != name or row["version"] in copies]
    versions: dict[tuple[str, int], Row] = {(row["name"], row["version"]): row for row in rows}
    tags = part.target_rows("model_version_tags")
    part.read_elsewhere |= {
        "model_versions": rows,
        "model_version_tags": [row for row in tags if (row["name"], row["version"]) in versions],
        "artifacts": _files_of_versions(part, versions),
    }
    return versions


def _merged_models(part: Share) -> Iterator[tuple[Row, Collection[int]]]:
    """Yield the models whose versions were appended, each with the numbers in the target of those that are its own."""
    for model in part.source_rows("registered_models"):
        copies = part.sides.versions.merged.get(named_owner(model["name"], model["workspace"]))
        if copies is not None:
            yield model, copies


def _of_deleted(part: Share, model: RegisteredModelRows, table: str, owner: Mapping[str, Any]) -> Iterator[Expected]:
    """Yield the rows of versions that are deleted in the archive, which do not come."""
    for row, source in part.pairs(table):
        version = model.versions.get(source["version"]) if owner.items() <= row.items() else None
        if version is not None and version.deleted:
            yield Expected(row, row, unseen=Rule.LEFT_OUT)


def _key_of(part: Share) -> Any:
    limit = part.context.options.limits.key
    return lambda key: shorten_key(key, limit)


def _add_version(
    part: Share,
    model: RegisteredModelRows,
    version: VersionRows,
    owner: Mapping[str, Any],
    targets: Mapping[tuple[str, int], Row],
    tables: Tables,
) -> None:
    plan = plan_version(model, version, part.context)
    original = next(
        row for row in part.originals("model_versions") if all(row[name] == value for name, value in owner.items())
    )
    target = targets.get((owner["name"], owner["version"]), {})
    row = {
        **original,
        "description": plan.description,
        "run_link": plan.run_link,
        "current_stage": plan.stage,
        "run_id": _run_id(part, version, target.get("source") or ""),
        "source": _source(part, model, version, target.get("source")),
    }
    tables["model_versions"].append(Expected(row, original, Rule.REFERENCE))
    tables["model_version_tags"] += part.tags("model_version_tags", owner, plan.tags, _key_of(part))
    ids = part.sides.ids
    target_owner = owner_id(TABLES["registered_models"], row)

    def mapped(source_id: str) -> str | None:
        return ids.of(RUN).get(source_id) or ids.of(LOGGED_MODEL).get(source_id)

    tables["artifacts"] += expected_files(part, target_owner, mapped, f"{owner['version']}/")


def _source(part: Share, model: RegisteredModelRows, version: VersionRows, target: str | None) -> object:
    """Return what the source of a version must be: the target's own, where that is what the import makes of it."""
    if target is not None and _is_place(part, model, version, target):
        return Excused(Rule.LOCATION)
    source = version.info["source"] or ""
    for kind, pattern in ((LOGGED_MODEL, OF_MODEL), (RUN, OF_RUN)):
        match, ids = pattern.fullmatch(source), part.sides.ids.of(kind)
        if match and (match[1] or match[3]) in ids:
            return source.replace(match[1] or match[3], ids[match[1] or match[3]])
    return source


def _run_id(part: Share, version: VersionRows, target: str) -> str | None:
    """Return the run of a version: MLflow takes one whose source lies in a run only as that run's."""
    ids, match = part.sides.ids.of(RUN), OF_RUN.fullmatch(version.info["source"] or "")
    in_run = ids.get(match[1] or match[3]) if match else None
    return in_run if in_run is not None and in_run in target else ids.get(version.info["run_id"] or "")


def _is_place(part: Share, model: RegisteredModelRows, version: VersionRows, target: str) -> bool:
    """Return whether a source is one that the import takes for a version (``registry.version_sources``)."""
    source = version.info["source"] or ""
    if model.is_prompt:
        return target in (source if source in PROMPT_SOURCES else PROMPT_SOURCES[0], ANY_SOURCE)
    if version.artifacts:
        return parse_reference(target) is not None  # a carrier, whose files are compared
    if copied := OF_VERSION.fullmatch(source):
        name = part.context.model_name(copied[1], model.info["workspace"])
        number = part.context.versions.of(copied[1], model.info["workspace"], int(copied[2]), is_prompt=False)
        if target == f"models:/{name}/{number}":
            return True
        source = version.info["storage_location"] or source
    for kind, pattern in ((LOGGED_MODEL, OF_MODEL), (RUN, OF_RUN)):
        match = pattern.fullmatch(source)
        target_id = part.sides.ids.of(kind).get(match[1] or match[3]) if match else None
        if match and target_id is not None:
            return target_id in target and target.rstrip("/").endswith(match[2] or match[4] or "")
    return target == source if ANYWHERE.match(source) else _carries_nothing(part, target)


def _carries_nothing(part: Share, target: str) -> bool:
    """Return whether a source is the logged model that stands for files which are nowhere."""
    reference = parse_reference(target)
    if reference is None:
        return False
    tags = part.sides.target.table("logged_model_tags", owners=[reference.id]).to_pylist()
    return any((tag["key"], tag["value"]) == (CARRIES, NOTHING) for tag in tags)


def _files_of_versions(part: Share, versions: Mapping[tuple[str, int], Row]) -> list[dict[str, Any]]:
    """Return the files that versions of the target have in the logged models that carry them, as the versions' own."""
    owners = {row["name"]: owner_id(TABLES["registered_models"], row) for row in part.originals("registered_models")}
    have_files = {(row["owner_id"], row["path"].partition("/")[0]) for row in part.originals("artifacts")}
    files = []
    for (name, number), version in versions.items():
        reference = parse_reference(version["source"] or "")
        if reference is None or reference.kind != LOGGED_MODEL or (owners[name], str(number)) not in have_files:
            continue
        for row in rows_of(
            Chunk(tables={"artifacts": part.sides.target.table("artifacts", owners=[reference.id])}), "artifacts"
        ):
            own = {"owner_kind": REGISTERED_MODEL, "owner_id": owners[name], "path": f"{number}/{row['path']}"}
            files.append({**row, **own})
    return files
