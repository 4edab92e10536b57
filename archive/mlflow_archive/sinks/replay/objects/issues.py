"""Issues. They keep their ids where the target takes these, and have neither tags nor a name that is theirs alone.

One that is there already is found by a tag of its experiment: ``mlflow_archive.issues.1`` and further hold pairs of the
source's id and the target's, so that an issue is found that somebody has renamed since. Where that is missing, it is
found by what MLflow never changes of it once it is made, and by name and description: of several that are equal in all
of that, each stands for one. MLflow deletes no issues.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.kinds import ISSUE, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.equals import Equals
from mlflow_archive.sinks.replay.object_writer import ObjectRows, ObjectWriter
from mlflow_archive.sinks.replay.places.experiments import tags_of_experiment
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.fitting import Fitter
from mlflow_archive.sinks.replay.writing.rows import json_of

_API: Final = "/api/3.0/mlflow/issues"
ISSUES: Final = OWN_PREFIX + "issues."
"""Start of the key of such a tag; then comes a number from 1. The value is ``SOURCE=TARGET`` with spaces between."""

_PLAIN_ID: Final = re.compile(r"[^\s=]+")
_KEPT_ID: Final = re.compile(r"iss-[A-Za-z0-9_-]{1,32}")
"""The ids that MLflow takes."""
_NAME, _CREATED_BY = 250, 255
"""The longest texts of MLflow's columns, which its API does not check."""


class IssueIndex:
    """The known issues of one experiment of the target. Usable by several threads."""

    def __init__(self, context: ReplayContext, experiment_id: str) -> None:
        self._context = context
        self._experiment_id = experiment_id
        self._lock = Lock()
        tags = tags_of_experiment(context.api, experiment_id)
        self._texts = {key: value for key, value in tags.items() if key.startswith(ISSUES)}
        texts = [self._texts[key] for key in sorted(self._texts, key=lambda key: (len(key), key))]
        pairs = [pair.partition("=") for text in texts for pair in text.split()]
        self._known = {source_id: target_id for source_id, _, target_id in pairs}
        self._changed: set[str] = set()

    def lookup(self, source_id: str) -> str | None:
        """Return the target's id of a source issue, None where no import left it."""
        return self._known.get(source_id)

    def targets(self) -> set[str]:
        """Return the ids of all issues of the target that are a source issue's."""
        return set(self._known.values())

    def add(self, source_id: str, target_id: str) -> None:
        """Take an issue that was made, or found by what it is, for ``save``."""
        if not _PLAIN_ID.fullmatch(source_id):
            return  # MLflow gave it no such id, and it would end the pair
        with self._lock:
            self._known[source_id] = target_id
            pair = f"{source_id}={target_id}"
            key = f"{ISSUES}{max(len(self._texts), 1)}"
            text = f"{self._texts.get(key, '')} {pair}".strip()
            if len(text) > self._context.options.limits.experiment_tag:
                key, text = f"{ISSUES}{len(self._texts) + 1}", pair
            self._texts[key] = text
            self._changed.add(key)

    def save(self) -> None:
        """Write the tags that have changed. Until then an import that is cut off finds issues by what they are."""
        with self._lock:
            for key in sorted(self._changed):
                self._context.target.set_experiment_tag(self._experiment_id, key, self._texts[key])
            self._changed.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Experiment:
    """The issues of an experiment of the target, by what they are and by what earlier imports left."""

    equal: Equals
    index: IssueIndex


class IssueWriter(ObjectWriter):
    """Writes issues. Two imports into one experiment at the same time would make them twice."""

    kinds = (ISSUE,)
    table, code = "issues", refusals.ISSUE_REFUSED
    receipt_columns = ("created_timestamp", "last_updated_timestamp", "last_seen_timestamp", "last_updated_by")
    id_field = "issue_id"

    def __init__(self, context: ReplayContext) -> None:
        super().__init__(context)
        self._lock = Lock()
        self._experiments: dict[str, _Experiment] = {}

    def objects(self, chunk: Chunk) -> Iterable[ObjectRows]:
        return sorted(super().objects(chunk), key=lambda rows: (rows.row["created_timestamp"] or 0, rows.source_id))

    def write(self, chunk: Chunk) -> None:
        super().write(chunk)
        with self._lock:
            experiments = list(self._experiments.values())
        for experiment in experiments:
            experiment.index.save()

    def find_or_make(self, rows: ObjectRows) -> tuple[Any, bool]:
        experiment_id = self._context.experiment(rows.row["experiment_id"]).target_id
        body, dry_run = self.body(rows), self._context.options.dry_run
        if experiment_id is None:
            return None, True
        experiment = self._experiment(experiment_id)
        issue_id, is_new = experiment.index.lookup(rows.source_id), False
        if issue_id is None or not experiment.equal.has(issue_id):
            create = None if dry_run else lambda: self._create(experiment_id, rows.source_id, body)
            issue_id, is_new = experiment.equal.take_or_create(_key(body), create)
            if issue_id is not None and not dry_run:
                experiment.index.add(rows.source_id, issue_id)
        return (None if issue_id is None else {self.id_field: issue_id}), is_new

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        row = rows.row
        fitter = Fitter(self._context.options.limits, self._context.receipt, row["issue_id"])
        run_id = self._context.run_id(row["source_run_id"], row["experiment_id"])
        source_run = row["source_run_id"]
        missing = source_run and run_id is None and source_run not in self._context.receipt.ids(RUN)
        self._context.receipt.changed("issues_without_their_run", bool(missing))
        body = {
            "name": fitter.text("issue name", "name", row["name"], _NAME),
            "description": row["description"],
            "status": row["status"],
            "severity": row["severity"],
            "root_causes": json_of(row, "root_causes"),
            "categories": json_of(row, "categories"),
            "source_run_id": run_id,
            "metadata": json_of(row, "metadata"),
            "last_seen_timestamp": row["last_seen_timestamp"],
            "created_by": row["created_by"]
            and fitter.text("issue creator", "created_by", row["created_by"], _CREATED_BY),
        }
        return {field: value for field, value in body.items() if value}

    def _experiment(self, experiment_id: str) -> _Experiment:
        with self._lock:
            if experiment_id not in self._experiments:
                equal, index = Equals(lambda: self._load(experiment_id)), IssueIndex(self._context, experiment_id)
                equal.reserve(index.targets())
                self._experiments[experiment_id] = _Experiment(equal=equal, index=index)
            return self._experiments[experiment_id]

    def _create(self, experiment_id: str, source_id: str, body: dict[str, Any]) -> str:
        """Create an issue, with the id it had where the target, since MLflow 3.18, takes that and has no other so."""
        body = {"experiment_id": experiment_id, **body}
        kept_id = {"issue_id": source_id} if _KEPT_ID.fullmatch(source_id) else {}
        try:
            made = self._context.api.post(_API, {**body, **kept_id}, idempotent=False)["issue"]
        except ServerError as exc:
            if not kept_id or exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            made = self._context.api.post(_API, body, idempotent=False)["issue"]
        if "metadata" in body and "metadata" not in made:
            unknown = ItemError("the target, before MLflow 3.18, knows no metadata of issues")
            self._context.refuse(ISSUE, source_id, refusals.ISSUE_REFUSED, unknown, path="metadata")
        return str(made["issue_id"])

    def _load(self, experiment_id: str) -> Iterable[tuple[Hashable, str]]:
        def ask(page: dict[str, Any]) -> Any:
            return self._context.api.post(f"{_API}/search", {"experiment_id": experiment_id, **page})

        issues = sorted(
            entries(ask, "issues"), key=lambda issue: (int(issue.get("created_timestamp", 0)), issue["issue_id"])
        )
        return [(_key(issue), issue["issue_id"]) for issue in issues]


def _key(issue: dict[str, Any]) -> Hashable:
    lists = tuple(tuple(issue.get(name, ())) for name in ("root_causes", "categories"))
    return (*(issue.get(name, "") for name in ("name", "description", "source_run_id", "created_by")), *lists)
