"""What flows from a source to a sink, and the two interfaces between which it flows.

Everything the project does is one loop (``copy``) between a :class:`Source` and a :class:`Sink`: export, import,
conversion, counting. A new source or sink gets every command at once. This module knows neither MLflow nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import BinaryIO, Protocol

import pyarrow as pa

from mlflow_archive.errors import ItemError

Known = Callable[[str, str], str | None]
"""(entity kind, id) -> the fingerprint the sink already holds for it, or None."""


def nothing_known(kind: str, entity_id: str) -> None:
    """A ``Known`` for sinks that hold nothing yet."""


class ArtifactUnreadableError(ItemError):
    """An artifact is declared but its bytes cannot be had. ``code`` is a gap code of spec/problems.md."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """One artifact on its way. ``size`` is what the source announces, in bytes, or None where it says nothing.

    ``open`` gives the complete bytes as a seekable binary stream, retried and checked against ``size`` by the
    source; it raises ArtifactUnreadableError and nothing else for a file that cannot be had. It may be called
    again, from any thread. A small file may lie in memory, a large one never does.
    """

    owner_kind: str
    owner_id: str
    path: str
    size: int | None
    open: Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Arrow tables of some whole entities with their artifact list.

    ``tables`` maps names of ``format.tables.TABLES`` to tables of exactly that schema, rows in any order; a table
    that is absent has no rows. The rows of ``artifacts`` come from the list ``artifacts`` (the sink knows size and
    digest only after reading), so that table is never in ``tables``. With ``complete=False`` the next chunk of the
    same shard goes on with the same entity; its fingerprint comes in the last one.
    """

    tables: Mapping[str, pa.Table]
    artifacts: Sequence[ArtifactFile] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A piece of a source that can be read on its own.

    Shards of a later ``stage`` start only when all of the earlier stages are done: parents before children.
    ``weight`` is the expected number of runs, for progress; ``payload`` belongs to the source that made it.
    """

    name: str
    stage: int = 0
    weight: int = 0
    payload: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """Where data comes from. ``uri`` never holds credentials. Unknown values are None."""

    kind: str
    uri: str
    mlflow_version: str | None = None
    schema_revision: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to carry. Times are milliseconds since the epoch, UTC; ``since_ms`` is inclusive, ``until_ms`` exclusive.

    ``experiments`` holds ids, names or globs over names; each must match something, or the source raises
    SelectionError; so must each of ``runs`` (ids). ``artifact_globs`` match whole artifact paths, ``*`` crosses ``/``.
    ``models`` holds names of registered models or globs over them, each of which must match, too; with them only
    these models and what they stand on is taken: the runs and logged models of their versions, and the experiments of
    these. ``trace_filter`` is in MLflow's search syntax. ``kinds`` are those of ``format.tables`` that are taken;
    empty means all. Experiments, workspaces and datasets come with what lies in them, whatever ``kinds`` says.
    """

    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    filter_string: str | None = None
    trace_filter: str | None = None
    kinds: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    deleted: bool = True
    artifacts: bool = True
    artifact_globs: tuple[str, ...] = ()
    max_artifact_size: int | None = None

    def matches_experiment(self, experiment_id: str, name: str) -> bool:
        """Say whether an experiment is selected; with no patterns all are."""
        return not self.experiments or any(
            pattern in (experiment_id, name) or fnmatchcase(name, pattern) for pattern in self.experiments
        )

    def unmatched_experiments(self, found: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Return the patterns that none of the (id, name) pairs matches."""
        return tuple(
            pattern
            for pattern in self.experiments
            if not any(pattern in pair or fnmatchcase(pair[1], pattern) for pair in found)
        )

    def matches_model(self, name: str) -> bool:
        """Say whether a registered model is selected by name; with no patterns all are."""
        return not self.models or any(pattern == name or fnmatchcase(name, pattern) for pattern in self.models)

    def unmatched_models(self, found: Sequence[str]) -> tuple[str, ...]:
        """Return the patterns that none of the names matches."""
        return tuple(
            pattern
            for pattern in self.models
            if not any(pattern == name or fnmatchcase(name, pattern) for name in found)
        )

    def wants_kind(self, kind: str) -> bool:
        """Say whether objects of a kind are selected at all."""
        return not self.kinds or kind in self.kinds

    def in_window(self, start_time_ms: int | None) -> bool:
        """Say whether a run's start lies in the window; a run without a start is in only if there is none."""
        if self.since_ms is None and self.until_ms is None:
            return True
        if start_time_ms is None:
            return False
        return (self.since_ms is None or start_time_ms >= self.since_ms) and (
            self.until_ms is None or start_time_ms < self.until_ms
        )

    def wants_artifact(self, path: str, size: int | None) -> bool:
        """Say whether an artifact is selected."""
        if not self.artifacts:
            return False
        if self.max_artifact_size is not None and size is not None and size > self.max_artifact_size:
            return False
        return not self.artifact_globs or any(fnmatchcase(path, glob) for glob in self.artifact_globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that exists or is declared at the source and could not be carried; a row of the table ``gaps``."""

    owner_kind: str
    owner_id: str
    path: str
    code: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What a copy did. ``counts`` are by table or unit; ``details`` is what the sink adds, JSON values only.

    A report with gaps is a partial success: exit code 3.
    """

    counts: dict[str, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not self.gaps


class Progress(Protocol):
    """Told what happens; called from several threads, must be quick and must not raise."""

    def expect(self, unit: str, amount: int) -> None:
        """Add to what will come in all: ``runs``, ``bytes``, ``members``."""

    def advance(self, unit: str, amount: int) -> None:
        """Add to what has been done. Units also seen: ``points``, ``artifacts``, ``skipped``."""

    def note(self, message: str) -> None:
        """Tell a person something worth a line, such as a retry."""


class Quiet:
    """A Progress that tells nobody."""

    def expect(self, unit: str, amount: int) -> None: ...

    def advance(self, unit: str, amount: int) -> None: ...

    def note(self, message: str) -> None: ...


class Source(Protocol):
    """Where records are read from. Raises ServerError, StoreError or ArchiveError when it cannot be read at all."""

    def facts(self) -> SourceFacts:
        """Say where this data comes from; called once, before ``plan``; the first contact with the source."""

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield shards that together hold what is selected, each entity in one shard, stages ascending.

        Lazy: shards are read while planning goes on. Raises SelectionError for a pattern that matches nothing,
        before the first shard.
        """

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard; called from several threads, each shard once, by one thread.

        Entities whose fingerprint equals what ``known`` says are left out. What cannot be read becomes rows of
        ``gaps``; an exception means that nothing more of this source can be read.
        """

    def close(self) -> None:
        """Release connections; called once, also after an error."""


class Sink(Protocol):
    """Where records are written to."""

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        """Get ready and say what is here already; called once, before ``write``."""

    def write(self, chunk: Chunk) -> None:
        """Take a chunk; called from several threads, the chunks of one shard in order by one thread.

        What this item alone cannot carry is kept as a gap; an exception ends the copy.
        """

    def finish(self) -> Report:
        """Commit and say what was done. Without this call nothing is committed."""

    def abort(self) -> None:
        """Called instead of ``finish`` after an exception. Keeps what a later run can continue from."""
