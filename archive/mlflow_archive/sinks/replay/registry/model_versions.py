"""Versions of a registered model in the target, with the numbers they have at the source if these can be had.

MLflow numbers versions itself, and a deleted one keeps its number. So they are made in order, and where the source
has a gap a filler is made and deleted. What the API does not show is whether the numbers after the last version are
taken by deleted ones: the model keeps a tag with the highest number that an import made. Where models are merged,
versions are appended to those of another origin, with the next numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import OWN_PREFIX, beyond_the_export
from mlflow_archive.kinds import MODEL_VERSION, REGISTERED_MODEL
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.registry.numbering import FILLER, mark_of, placed
from mlflow_archive.sinks.replay.registry.planned_version import PlannedVersion, plan_version
from mlflow_archive.sinks.replay.registry.registry_rows import RegisteredModelRows, VersionRows
from mlflow_archive.sinks.replay.registry.version_sources import ANY_SOURCE, VersionSource, VersionSources
from mlflow_archive.sinks.replay.target.target import entries_of
from mlflow_archive.sinks.replay.writing.failures import check_one_item, once
from mlflow_archive.sinks.replay.writing.version_numbers import (
    APPENDED,
    IS_PROMPT,
    identity_of_row,
    identity_of_tags,
    tags_of_version,
    target_versions,
    without_time,
)

HIGHEST: Final = OWN_PREFIX + "highest_version"
_API: Final = "/api/2.0/mlflow/"


@dataclass(slots=True, kw_only=True)
class Numbers:
    """What is known of the numbers in the target: the next is ``next``, or more where it is not ``exact``."""

    next: int
    exact: bool


@dataclass(slots=True, kw_only=True)
class OpenVersions:
    """The versions of one registered model under way. ``name`` and ``existing`` are the target's.

    ``placed`` maps numbers at the source to numbers there, of versions that are there, ``arrived`` of all that have
    come; ``appends`` says that new ones take the next numbers.
    """

    model: RegisteredModelRows
    name: str
    existing: dict[int, Mapping[str, Any]]
    numbers: Numbers
    highest: int
    placed: Mapping[int, int]
    appends: bool
    changed: bool = False
    arrived: dict[int, int] = field(default_factory=dict)


class VersionWriter:
    """Writes the versions of registered models. Usable by several threads, each with models of its own."""

    def __init__(self, context: ReplayContext, sources: VersionSources) -> None:
        self._context = context
        self._sources = sources

    def write(self, model: RegisteredModelRows, name: str, *, new: bool, tags: Mapping[str, str]) -> OpenVersions:
        """Make or complete all versions; ``tags`` are those of the registered model in the target."""
        existing = {} if new else self.existing(model, name)
        highest = int(tags.get(HIGHEST, "0"))
        identities = {identity_of_row(version.info, number): number for number, version in model.versions.items()}
        identity = identity_of_row(model.info)
        own = without_time(identity) if identity_of_tags(tags, version=False) == identity else None
        placement = placed({number: tags_of_version(version) for number, version in existing.items()}, identities, own)
        versions = OpenVersions(
            model=model,
            name=name,
            existing=existing,
            numbers=Numbers(next=max([highest, *existing]) + 1, exact=new),
            highest=highest,
            placed=placement.numbers,
            appends=self._merges and placement.is_mixed,
        )
        self._remove_leftovers(versions, placement.leftovers)
        self._write_ascending(versions)
        self._fill_end(versions)
        self._forget_highest(versions)
        return versions

    def _write_ascending(self, versions: OpenVersions) -> None:
        """Make or complete the versions in the order of their numbers; one that is refused stops no later one."""
        source = versions.model.versions
        last = max((number for number, version in source.items() if not version.deleted), default=0)
        for number, version in sorted(source.items()):
            if version.deleted:
                self._count_deleted(versions, version, above=number > last)
                continue
            try:
                self._write(versions, version)
            except (ItemError, ServerError) as exc:
                check_one_item(exc)
                self._refuse(versions, number, str(exc))

    @property
    def _merges(self) -> bool:
        return self._context.options.merge_models

    def existing(self, model: RegisteredModelRows, name: str) -> dict[int, Mapping[str, Any]]:
        """Return the versions of a registered model of the target by number, as MLflow's API shows them."""
        return target_versions(self._context.api, name, is_prompt=model.is_prompt)

    def _write(self, versions: OpenVersions, version: VersionRows) -> None:
        number = version.number
        plan = plan_version(versions.model, version, self._context)
        target_number = versions.placed.get(number)
        if target_number is not None:
            outcome = "updated" if self._complete(versions, plan, versions.existing[target_number]) else "skipped"
        elif versions.appends:
            target_number, outcome = self._append(versions, version, plan), "created"
        elif number in versions.existing:
            message = f"the target has another version {number} of {versions.name!r}, which no import of this one made"
            raise ItemError(message)
        else:
            target_number, outcome = self._make_at(versions, version, plan), "created"
        if outcome != "skipped":
            versions.changed = True
        versions.arrived[number] = target_number
        receipt = self._context.receipt
        receipt.changed("versions_with_other_numbers", int(target_number != number))
        receipt.mapped(MODEL_VERSION, f"{versions.model.owner_id}/{number}", f"{versions.name}/{target_number}")
        if outcome == "created" and not self._context.options.dry_run:
            receipt.made(MODEL_VERSION, f"{versions.name}/{target_number}")
        receipt.done(outcome, MODEL_VERSION)

    def _append(self, versions: OpenVersions, version: VersionRows, plan: PlannedVersion) -> int:
        """Make a version with the next number, whatever that is, and return it."""
        if self._context.options.dry_run:
            versions.numbers.next += 1
            return versions.numbers.next - 1
        # Found again by the tag, which it has from the start, so that none is made twice.
        number = self._create(versions, version, replace(plan, tags={**plan.tags, APPENDED: "true"}))
        self._set_stage(versions.name, number, plan, "None")
        return number

    def _make_at(self, versions: OpenVersions, version: VersionRows, plan: PlannedVersion) -> int:
        """Make a version, so that it gets its number, and return that; where models are merged, else the next.

        Raises ItemError where it cannot get its number.
        """
        number, numbers = version.number, versions.numbers
        if numbers.next > number and self._merges:
            return self._append(versions, version, plan)
        if numbers.next > number:
            message = (
                f"the number {number} of {versions.name!r} is taken in the target by a version that was deleted there; "
                "import under another name with --rename-model to get all, or with --merge-models"
            )
            raise ItemError(message)
        if self._context.options.dry_run:
            numbers.next = number + 1
            return number
        if numbers.exact:
            self._fill(versions, number)
        assigned = self._create(versions, version, plan)
        while assigned < number:
            self._discard(versions.name, assigned, plan.tags)
            self._fill(versions, number)
            assigned = self._create(versions, version, plan)
        if assigned > number:
            self._discard(versions.name, assigned, plan.tags)
            if self._merges:
                return self._append(versions, version, plan)
            message = (
                f"MLflow gave it the number {assigned}, as {number} is taken in the target by a version deleted there"
            )
            raise ItemError(message)
        self._set_stage(versions.name, number, plan, "None")
        return number

    def _create(self, versions: OpenVersions, version: VersionRows, plan: PlannedVersion) -> int:
        """Make a version with the first source that MLflow takes, and return its number."""
        refused: ServerError | None = None
        for source in self._sources.candidates(versions.model, version):
            try:
                number = self._create_with(versions, plan, source)
            except ServerError as exc:
                check_one_item(exc)
                refused = refused or exc
            else:
                if source.changed is not None:
                    self._context.receipt.changed(source.changed)
                return number
        message = "no source for it is known" if refused is None else str(refused)
        raise ItemError(message)

    def _create_with(self, versions: OpenVersions, plan: PlannedVersion, source: VersionSource) -> int:
        body = {
            "name": versions.name,
            "source": source.uri,
            "run_id": source.run_id,
            "model_id": source.model_id,
            "run_link": plan.run_link,
            "description": plan.description,
            "tags": entries_of(plan.tags),
        }
        body = {key: value for key, value in body.items() if value is not None}
        return self._post(versions, body, plan.identity)

    def _post(self, versions: OpenVersions, body: Mapping[str, Any], identity: str) -> int:
        before = versions.numbers.next

        def make() -> int:
            answer = self._context.api.post(_API + "model-versions/create", body, idempotent=False)
            return int(answer["model_version"]["version"])

        def look() -> int | None:
            existing = self.existing(versions.model, versions.name).items()
            ours = (
                number
                for number, version in existing
                if number >= before and mark_of(tags_of_version(version)) == identity
            )
            return max(ours, default=None)

        number = once(make, look)
        versions.numbers.next, versions.numbers.exact = number + 1, True
        return number

    def _fill(self, versions: OpenVersions, number: int) -> None:
        """Make and delete fillers until the next number is ``number``."""
        missing = number - versions.numbers.next
        if missing > self._context.options.limits.fillers:
            message = f"{missing} numbers before {number} would have to be taken by fillers, which are too many"
            raise ItemError(message)
        while versions.numbers.next < number:
            self._delete(versions.name, self._create_filler(versions))

    def _fill_end(self, versions: OpenVersions) -> None:
        """Take the numbers of versions that are deleted at the source and come after all others."""
        highest = max((number for number, version in versions.model.versions.items() if version.deleted), default=0)
        if versions.appends or versions.numbers.next > highest or versions.highest >= highest:
            return
        if self._context.options.dry_run:
            versions.changed = True
            return
        try:
            if versions.numbers.exact:
                self._fill(versions, highest)
            number = self._create_filler(versions)
            while number < highest:
                self._delete(versions.name, number)
                number = self._create_filler(versions)
        except (ItemError, ServerError) as exc:
            check_one_item(exc)
            self._refuse(versions, highest, str(exc))
            return
        # In this order, so that an import that is cut off here does not take one number more each time.
        tag = {"name": versions.name, "key": HIGHEST, "value": str(number)}
        self._context.api.post(_API + "registered-models/set-tag", tag)
        self._delete(versions.name, number)
        versions.changed = True

    def _forget_highest(self, versions: OpenVersions) -> None:
        """Take the tag off where a version has a higher number now: it was for an import that was cut off between."""
        if 0 < versions.highest < max(versions.arrived.values(), default=0) and not self._context.options.dry_run:
            tag = {"name": versions.name, "key": HIGHEST}
            self._context.api.delete(_API + "registered-models/delete-tag", tag)

    def _create_filler(self, versions: OpenVersions) -> int:
        body = {"name": versions.name, "source": ANY_SOURCE, "tags": entries_of({FILLER: "true"})}
        if not versions.model.is_prompt:
            return self._post(versions, body, FILLER)
        of_prompt = {**body, "source": "dummy-source", "tags": entries_of({FILLER: "true", IS_PROMPT: "true"})}
        try:
            return self._post(versions, of_prompt, FILLER)
        except ServerError as exc:
            check_one_item(exc)
            return self._post(versions, body, FILLER)

    def _remove_leftovers(self, versions: OpenVersions, leftovers: Sequence[int]) -> None:
        """Delete fillers, and versions that got a number which is not theirs, of an import that was cut off."""
        for number in leftovers:
            if not self._context.options.dry_run:
                if number >= max(versions.existing):
                    tag = {"name": versions.name, "key": HIGHEST, "value": str(number)}
                    self._context.api.post(_API + "registered-models/set-tag", tag)
                    versions.highest = number
                self._discard(versions.name, number, tags_of_version(versions.existing[number]))
            versions.changed = True
            del versions.existing[number]

    def _complete(self, versions: OpenVersions, plan: PlannedVersion, existing: Mapping[str, Any]) -> bool:
        """Set what differs; return whether anything differed."""
        where = {"name": versions.name, "version": existing["version"]}
        existing_tags = tags_of_version(existing)
        tags = {key: value for key, value in plan.tags.items() if existing_tags.get(key) != value}
        tags = beyond_the_export(tags, existing_tags)
        description = (plan.description or "") != existing.get("description", "")
        stage = plan.stage != existing.get("current_stage", "None")
        differs = bool(tags) or description or stage
        if self._context.options.dry_run:
            return differs
        for key, value in tags.items():
            self._context.api.post(_API + "model-versions/set-tag", {**where, "key": key, "value": value})
        if description:
            self._context.api.patch(_API + "model-versions/update", {**where, "description": plan.description or ""})
        self._set_stage(versions.name, int(existing["version"]), plan, existing.get("current_stage", "None"))
        return differs

    def _set_stage(self, name: str, number: int, plan: PlannedVersion, current: str) -> None:
        if plan.stage == current:
            return
        body = {"name": name, "version": str(number), "stage": plan.stage, "archive_existing_versions": False}
        self._context.api.post(_API + "model-versions/transition-stage", body)

    def _discard(self, name: str, number: int, tags: Mapping[str, str]) -> None:
        """Make a filler of a version whose number is not its own, and delete it.

        MLflow keeps the tags of what is deleted, and an export of its database tells them.
        """
        where = {"name": name, "version": str(number)}
        if FILLER not in tags:  # at first: cut off here, it is found as what is left over
            self._context.api.post(_API + "model-versions/set-tag", {**where, "key": FILLER, "value": "true"})
        for key in tags:
            if key not in (FILLER, IS_PROMPT):
                self._context.api.delete(_API + "model-versions/delete-tag", {**where, "key": key})
        self._delete(name, number)

    def _delete(self, name: str, number: int) -> None:
        self._context.api.delete(_API + "model-versions/delete", {"name": name, "version": str(number)})

    def _count_deleted(self, versions: OpenVersions, version: VersionRows, *, above: bool) -> None:
        target_number = version.number if not versions.appends else versions.placed.get(version.number)
        if target_number in versions.existing:
            self._context.receipt.note(
                f"version {version.number} of {versions.model.owner_id!r} is deleted at the source; "
                f"the target has it as {versions.name!r} {target_number}, and it stays"
            )
        elif above and not versions.appends:
            self._context.receipt.count("deleted_versions")

    def _refuse(self, versions: OpenVersions, number: int, reason: str) -> None:
        receipt = self._context.receipt
        receipt.refuse(REGISTERED_MODEL, versions.model.owner_id, str(number), refusals.MODEL_VERSION_REFUSED, reason)
        receipt.done("refused", MODEL_VERSION)
