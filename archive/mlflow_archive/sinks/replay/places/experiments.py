"""Experiments of a replay: which one of the target each source experiment goes to.

They are found by name among active and deleted ones. All that are waiting are settled together, active ones first,
so that the outcome does not depend on the order in which threads bring them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import RLock

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import (
    OWN_PREFIX,
    PREFIX,
    SOURCE_EXPERIMENT_ID,
    ExportFacts,
    beyond_the_export,
    experiment_source_tags,
    shorten_key,
)
from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.kinds.experiment_tags import acting_tags
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.target.target import Api, Target, TargetExperiment, pairs_of
from mlflow_archive.sinks.replay.writing.failures import came_through, check_one_item, is_about_one_item, once
from mlflow_archive.sinks.replay.writing.fitting import Fitter, key_is_taken, plain_tags
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

# On a run or logged model until all of it is written, and on an experiment that must end deleted until it is: so a
# killed import can be finished by the next one.
STATE = OWN_PREFIX + "import_state"
INCOMPLETE = "incomplete"
_COMPLETE = "complete"

_NAME_COLUMN = 256
"""What databases hold of a name that enforce lengths, where MLflow's API takes more."""

SOURCE_NAME = PREFIX + "experiment.name"
SOURCE_URI = PREFIX + "metadata.tracking_uri"

SOURCE_ID = "mlflow.experiment.sourceId"
"""Of an experiment that MLflow made for a gateway endpoint: its id, which is another one in the target."""


def is_of_gateway(tags: Mapping[str, str | None]) -> bool:
    """Return whether MLflow made an experiment for the traces of a gateway endpoint."""
    return tags.get("mlflow.experiment.sourceType") == "GATEWAY"


def tags_of_experiment(api: Api, experiment_id: str) -> dict[str, str]:
    """Return the tags of an experiment of the target."""
    experiment = api.get("/api/2.0/mlflow/experiments/get", {"experiment_id": experiment_id})["experiment"]
    return pairs_of(experiment.get("tags", []))


def create_experiment(target: Target, name: str, tags: Mapping[str, str]) -> str:
    """Create an experiment, once, and return its id."""

    def look() -> str | None:
        return next((experiment.experiment_id for experiment in target.experiments() if experiment.name == name), None)

    return once(lambda: target.create_experiment(name, tags), look)


@dataclass(slots=True, kw_only=True)
class Bound:
    """Where the runs of a source experiment go; ``target_id`` is None in a dry run that would create it."""

    name: str
    target_id: str | None
    new: bool
    deleted: bool = False
    ends_deleted: bool = False


class ExperimentMap(KindWriter):
    """Source experiments and what they became; ``rows`` are those of all that have come, by source id.

    One is settled, which is found or created, when first needed. Usable by several threads.
    """

    kinds = (EXPERIMENT,)

    def __init__(
        self, target: Target, options: ReplayOptions, receipt: Receipt, export_of: Callable[[Row], ExportFacts]
    ) -> None:
        self._target = target
        self._options = options
        self._receipt = receipt
        self._export_of = export_of
        self.rows: dict[str, Row] = {}
        self._lock = RLock()
        self._waiting: list[tuple[Row, dict[str, str | None], ExportFacts]] = []
        self._bound: dict[str, Bound] = {}
        self._refused: dict[str, str] = {}
        self._name_owners: dict[str, str] = {}
        self._created: dict[str, Bound] = {}
        self._by_name: dict[str, TargetExperiment] | None = None
        self._not_live: set[str] = set()

    def write(self, chunk: Chunk) -> None:
        """Take the experiments of a chunk; nothing is asked of the target yet."""
        tags: dict[str, dict[str, str | None]] = {}
        for row in rows_of(chunk, "experiment_tags"):
            tags.setdefault(row["experiment_id"], {})[row["key"]] = row["value"]
        for row in rows_of(chunk, "experiments"):
            source_id = row["experiment_id"]
            self.rows[source_id] = row
            with self._lock:
                self._waiting.append((row, tags.get(source_id, {}), self._export_of(row)))

    def workspace(self, experiment_id: str) -> str | None:
        """Return the workspace at the source that an experiment is in, None for one that has not come."""
        row = self.rows.get(experiment_id)
        return None if row is None else row["workspace"]

    def bind(self, experiment_id: str) -> Bound:
        """Return where the runs of a source experiment go. Raises ItemError where they cannot go anywhere."""
        self.settle()
        if experiment_id in self._bound:
            return self._bound[experiment_id]
        reason = self._refused.get(experiment_id, "the archive does not hold it")
        message = f"experiment {experiment_id} is not in the target: {reason}"
        raise ItemError(message)

    def settle(self) -> None:
        """Find or create every experiment that is waiting."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            for row, tags, export in sorted(waiting, key=_active_first):
                if row["experiment_id"] in self._bound:
                    continue
                try:
                    self._settle_one(row, tags, export)
                except (ItemError, ServerError) as exc:
                    check_one_item(exc)
                    self._refused[row["experiment_id"]] = str(exc)
                    self._receipt.refuse("experiment", row["experiment_id"], "", refusals.EXPERIMENT_REFUSED, str(exc))

    def planned(self) -> Iterator[tuple[Row, str, dict[str, str]]]:
        """Yield every experiment that is waiting with the name and the tags that it gets, and settle none."""
        waiting, self._waiting = self._waiting, []
        for row, tags, export in sorted(waiting, key=_active_first):
            name = self._name(row, export)
            self._name_owners[name] = row["experiment_id"]
            in_column = shorten_key(name, _NAME_COLUMN)
            is_cut = name not in self._existing() and in_column in self._existing()
            yield row, in_column if is_cut else name, self._tags(row, tags, export)

    def make_writable(self, bound: Bound) -> None:
        """Restore an experiment of the target that is deleted; it is deleted again in the end."""
        with self._lock:
            if bound.deleted and bound.target_id is not None and not self._options.dry_run:
                self._target.restore_experiment(bound.target_id)
                self._target.set_experiment_tag(bound.target_id, STATE, INCOMPLETE)
                bound.deleted = False

    def delete(self) -> None:
        """Settle what nothing has needed, and delete what is deleted at the source."""
        self.settle()
        for bound in self._bound.values():
            if bound.ends_deleted and not bound.deleted and bound.target_id is not None and not self._options.dry_run:
                self._target.set_experiment_tag(bound.target_id, STATE, _COMPLETE)
                self._target.delete_experiment(bound.target_id)
                bound.deleted = True

    def _settle_one(self, row: Row, tags: dict[str, str | None], export: ExportFacts) -> None:
        source_id, deleted = row["experiment_id"], row["lifecycle_stage"] == "deleted"
        name = self._name(row, export)
        fitted = self._tags(row, tags, export)
        existing = self._existing().get(name) or self._existing().get(shorten_key(name, _NAME_COLUMN))
        if name in self._created:
            bound = self._created[name]
        elif existing is None:
            bound = self._created[name] = self._create(name, fitted, deleted, source_id)
        elif existing.deleted and not deleted:
            message = (
                f"the target has a deleted experiment named {name!r}, which keeps the name taken; restore it, remove "
                "it with `mlflow gc`, or choose another name with --rename-experiment"
            )
            raise ItemError(message)
        else:
            if existing.name != name:
                self._receipt.shortened(source_id, "experiment name", name, len(name))
            bound = self._join(existing, fitted, deleted, source_id)
        self._name_owners[name] = source_id
        self._bound[source_id] = bound
        self._receipt.mapped(EXPERIMENT, source_id, bound.target_id)

    def _name(self, row: Row, export: ExportFacts) -> str:
        source_id, name = row["experiment_id"], row["name"]
        target_name = self._options.experiment_name(name)
        deleted = row["lifecycle_stage"] == "deleted"
        if (owner := self._namesake(target_name, row, export)) is not None:
            suffix = f" (deleted {source_id})" if deleted else f" ({source_id})"
            self._receipt.note(
                f"{'deleted ' * deleted}experiment {source_id} shares the name {target_name!r} with experiment "
                f"{owner}; it is {target_name!r} with {suffix!r} behind it in the target"
            )
            target_name += suffix
        limit = self._options.limits.experiment_name
        if len(target_name) > limit:
            self._receipt.shortened(source_id, "experiment name", target_name, len(target_name))
        return shorten_key(target_name, limit)

    def _namesake(self, name: str, row: Row, export: ExportFacts) -> str | None:
        """Return the id of another source experiment that has the name in the target, None where it can be shared.

        Two that the caller renames to one name become one; two that have one name at the source never do.
        """
        owner = self._name_owners.get(name)
        if owner is not None:
            is_shared = row["lifecycle_stage"] != "deleted" and self.rows[owner]["name"] != row["name"]
            return None if is_shared else owner
        tags = self._existing()[name].tags if name in self._existing() else {}
        source_tags = experiment_source_tags(row, {}, export=export)
        other_id = tags.get(SOURCE_EXPERIMENT_ID)
        same_source = all(tags.get(key) == source_tags[key] for key in (SOURCE_NAME, SOURCE_URI))
        return other_id if same_source and other_id not in (None, row["experiment_id"]) else None

    def _existing(self) -> dict[str, TargetExperiment]:
        if self._by_name is None:
            self._by_name = {experiment.name: experiment for experiment in self._target.experiments()}
        return self._by_name

    def _tags(self, row: Row, tags: dict[str, str | None], export: ExportFacts) -> dict[str, str]:
        acting = frozenset() if self._options.acting_tags else acting_tags(tags)
        self._note_not_live(acting)
        if is_of_gateway(tags):
            acting |= {SOURCE_ID}  # set when the endpoint is there
        all_tags = {key: value for key, value in plain_tags(tags).items() if key not in acting}
        if self._options.source_tags:
            all_tags.update(experiment_source_tags(row, tags, export=export))
        fitter = Fitter(self._options.limits, self._receipt, row["experiment_id"])
        fitted = fitter.tags("experiment tag", all_tags, self._options.limits.experiment_tag)
        for key in [key for key in fitted if not key_is_taken(key)]:
            del fitted[key]
            reason = f"MLflow takes no experiment tag named {key!r}"
            self._receipt.refuse("experiment", row["experiment_id"], key, refusals.EXPERIMENT_TAG_REFUSED, reason)
        return fitted

    def _note_not_live(self, keys: frozenset[str]) -> None:
        """Count the tags of an experiment that are left out; each key is named once."""
        self._receipt.changed("experiment_tags_that_act", len(keys))
        for key in sorted(keys - self._not_live):
            self._receipt.note(
                f"a server may act on the experiment tag {key!r}: it arrives as a source tag only; "
                "--acting-tags sets it as it is"
            )
        self._not_live |= keys

    def _create(self, name: str, tags: dict[str, str], deleted: bool, source_id: str) -> Bound:
        """Create an experiment; where another import has just made it, join that."""
        if self._options.dry_run:
            return Bound(name=name, target_id=None, new=True, ends_deleted=deleted)
        tags = {**tags, STATE: INCOMPLETE} if deleted else tags
        try:
            target_id = create_experiment(self._target, name, tags)
        except ServerError as exc:
            if len(name) > _NAME_COLUMN and is_about_one_item(exc) and came_through(exc):
                self._receipt.shortened(source_id, "experiment name", name, len(name))
                return self._create(shorten_key(name, _NAME_COLUMN), tags, deleted, source_id)
            self._by_name = None
            if exc.error_code != "RESOURCE_ALREADY_EXISTS" or (existing := self._existing().get(name)) is None:
                raise
            return self._join(existing, tags, deleted, source_id)
        self._receipt.made(EXPERIMENT, target_id)
        return Bound(name=name, target_id=target_id, new=True, ends_deleted=deleted)

    def _join(self, existing: TargetExperiment, tags: dict[str, str], deleted: bool, source_id: str) -> Bound:
        unfinished = existing.tags.get(STATE) == INCOMPLETE
        bound = Bound(name=existing.name, target_id=existing.experiment_id, new=False, deleted=existing.deleted)
        bound.ends_deleted = deleted and (existing.deleted or unfinished)
        if deleted and not bound.ends_deleted:
            self._receipt.note(
                f"experiment {source_id} is deleted at the source; "
                f"{existing.name!r} was active in the target and stays so"
            )
        self._add_tags(bound, existing, tags)
        return bound

    def _add_tags(self, bound: Bound, existing: TargetExperiment, tags: dict[str, str]) -> None:
        """Set what differs; of an experiment that no import of this one made, only what is not there."""
        differ = {key: value for key, value in tags.items() if existing.tags.get(key) != value}
        differ = beyond_the_export(differ, existing.tags)
        identity = existing.tags.get(SOURCE_EXPERIMENT_ID)
        ours = identity is not None and identity == tags.get(SOURCE_EXPERIMENT_ID)
        if not ours:
            kept_keys = differ.keys() & existing.tags.keys()
            self._receipt.changed("experiment_tags_kept_as_in_target", len(kept_keys))
            differ = {key: value for key, value in differ.items() if key not in kept_keys}
        if differ and not self._options.dry_run:
            self.make_writable(bound)
            for key, value in differ.items():
                self._target.set_experiment_tag(existing.experiment_id, key, value)


def _active_first(waiting: tuple[Row, dict[str, str | None], ExportFacts]) -> tuple[bool, int, str]:
    row = waiting[0]
    return row["lifecycle_stage"] == "deleted", len(row["experiment_id"]), row["experiment_id"]
