"""Whether an object may go: exactly if the archive holds it as it is, nothing needs it, and nobody holds it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.contents import different
from mlflow_archive.retiring.kept import TABLE_WORDS, KeptEntities, KeptEntity
from mlflow_archive.retiring.reading import HOLD, SourceEntity
from mlflow_archive.retiring.site import DELETED, Entangled, Foundation

_FINISHED: Final = {RUN: ("FINISHED", "FAILED", "KILLED"), TRACE: ("OK", "ERROR")}
"""Of what is not listed, such as one in progress, more may come."""
_WITH_OTHERS: Final = {
    RUN: "with it MLflow would delete assessments that it made, for good; retire it from the database",
    TRACE: "a review queue has it",
}
"""Why objects stay whose delete would take something of others with it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Why an object stays. ``code`` is a refusal code of spec/problems.md, empty where a rule that was asked for holds
    it: that is no partial success.
    """

    reason: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is asked for beside the selection. ``before_ms`` is when an object must have ended, None for any time."""

    before_ms: int | None = None
    with_versions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges objects that were just read. ``going`` are the runs that go, ``there`` gives those that are there."""

    kept_entities: KeptEntities
    rules: Rules
    foundation: Foundation
    entangled: Entangled = field(default_factory=dict)
    going: Collection[str] = field(default_factory=frozenset)
    there: Callable[[Collection[str]], Collection[str]] = frozenset

    def __call__(self, entity: SourceEntity) -> Stay | None:
        """Return why an object stays, None where it may go."""
        tests: tuple[Callable[[SourceEntity], Stay | None], ...] = (
            self._of_archive,
            self._of_hold,
            self._of_time,
            self._of_versions,
            self._of_others,
            self._of_maker,
        )
        return next((stay for test in tests if (stay := test(entity)) is not None), None)

    def _of_archive(self, entity: SourceEntity) -> Stay | None:
        if entity.archived is None:
            return Stay(reason="the archive does not hold it", code=refusals.NOT_KEPT)
        if entity.archived.has_gaps:
            return Stay(reason="the archive has a gap of it, so that not all is kept", code=refusals.NOT_KEPT)
        if stay := unread(entity):
            return stay
        if entity.experiment is None or not self.kept_entities.is_same_experiment(entity.experiment):
            reason = "its experiment has another name or time of creation than in the archive"
            return Stay(reason=reason, code=refusals.CHANGED_SINCE)
        return by_contents(entity, entity.archived)

    def _of_hold(self, entity: SourceEntity) -> Stay | None:
        return Stay(reason=f"the {entity.holder} has the tag {HOLD}") if entity.holder else None

    def _of_time(self, entity: SourceEntity) -> Stay | None:
        status = entity.row.get("state" if entity.kind == TRACE else "status")
        if entity.kind in _FINISHED and status not in _FINISHED[entity.kind]:
            return Stay(reason=f"its status is {status}, so that it may still be written to")
        before, ended = self.rules.before_ms, _ended_ms(entity.row)
        if before is None:
            return None
        if ended is None:  # one that was begun long ago may have ended today
            return Stay(reason="it has no time at which it ended, so that its age is not known")
        return Stay(reason="it ended, or was made, later than was asked for") if ended >= before else None

    def _of_versions(self, entity: SourceEntity) -> Stay | None:
        needed = self.foundation.runs if entity.kind == RUN else self.foundation.logged_models
        if entity.id in needed and not self.rules.with_versions:
            return Stay(reason="a version of a registered model stands on it")
        return None

    def _of_others(self, entity: SourceEntity) -> Stay | None:
        if entity.id not in self.entangled.get(entity.kind, ()):
            return None
        return Stay(reason=_WITH_OTHERS[entity.kind], code=refusals.RETIRE_REFUSED)

    def _of_maker(self, entity: SourceEntity) -> Stay | None:
        maker = entity.row.get("source_run_id") if entity.kind == LOGGED_MODEL else None
        if maker and maker not in self.going:
            return Stay(reason=f"the run {maker} that made it stays")
        others = sorted(entity.runs.difference(self.going))
        staying = sorted(self.there(others)) if others else []
        return Stay(reason=f"the run {staying[0]} to which it belongs stays") if staying else None


def unread(entity: SourceEntity) -> Stay | None:
    """Return why an object stays of which something cannot be read now."""
    return Stay(reason=f"it cannot be read whole: {entity.gap}", code=refusals.NOT_COMPARED) if entity.gap else None


def by_contents(entity: SourceEntity, archived: KeptEntity, *, beside: Collection[str] = ()) -> Stay | None:
    """Return why an object stays that is not as an archive holds it, in tables other than those ``beside``."""
    words = [TABLE_WORDS[name] for name in different(archived.sums, entity.sums) if name not in beside]
    if archived.row.get("lifecycle_stage") == DELETED != entity.row.get("lifecycle_stage"):
        words.append("stage (deleted in the archive)")
    if not words:
        return None
    return Stay(reason=f"it is not as the archive holds it: {', '.join(words)}", code=refusals.CHANGED_SINCE)


def _ended_ms(row: Mapping[str, Any]) -> int | None:
    """Return when a run or trace ended, or a logged model was made."""
    when: datetime | None = row.get("end_time") or row.get("creation_timestamp") or row.get("request_time")
    return None if when is None else milliseconds(when) + (row.get("execution_duration_ms") or 0)


def milliseconds(when: datetime) -> int:
    """Return a time in milliseconds since the epoch."""
    return (when - _EPOCH) // timedelta(milliseconds=1)
