"""The sink that replays each workspace of a source: one ReplaySink for each, all with one receipt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from threading import Lock

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import Chunk, Known, nothing_known
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format import refusals
from mlflow_archive.http.tried import untried
from mlflow_archive.kinds import TABLES, is_identity
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.asked import asked
from mlflow_archive.sinks.replay.options import ReplayOptions, fitted_to
from mlflow_archive.sinks.replay.places.routing import Router
from mlflow_archive.sinks.replay.places.turn import Turn
from mlflow_archive.sinks.replay.places.workspaces import WorkspaceMap
from mlflow_archive.sinks.replay.sink import FactsOfRow, ReplaySink
from mlflow_archive.sinks.replay.target.nothing_there import nothing_there
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import rows_of


class WorkspaceSink:
    """Writes into a target and its workspaces; for all else see ReplaySink.

    ``only`` is the workspace that all objects of the source are in, where the caller knows that there is just one:
    their names stay as they are. ``sources`` are the tracking URIs that its objects come from, where it has others
    than that of its facts. Imports of one source take turns: one that is begun waits until the one before has ended.
    """

    def __init__(
        self,
        target: Target,
        *,
        options: ReplayOptions | None = None,
        progress: Progress | None = None,
        facts_of: FactsOfRow | None = None,
        only: str | None = None,
        sources: Collection[str] = (),
    ) -> None:
        self._target, self._progress, self._facts_of = target, progress or Quiet(), facts_of
        self._options = options or ReplayOptions()
        self._receipt = Receipt(target.uri, dry_run=self._options.dry_run)
        self._workspaces = WorkspaceMap(target, self._options, self._receipt, only=only)
        self._router = Router()
        self._sinks: dict[str, ReplaySink] = {}
        self._left_out: dict[str, Counter[str]] = {}
        self._lock = Lock()
        self._begun: tuple[SourceFacts, Selection] | None = None
        self._sources = sources
        self._turn: Turn | None = None

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        """Make sure that the target answers and has the workspace that everything is to go into."""
        self._begun = (facts, selection)
        self._receipt.asked(asked(self._options), asked(selection))
        self._target.check()
        if sentence := untried(self._target.version):
            self._receipt.note(sentence)
        self._options = fitted_to(self._options, self._target.version)
        self._workspaces.check()
        if not self._options.dry_run:
            self._turn = Turn(
                self._target,
                self._sources or (facts.uri,),
                tell=self._progress.note,
                workspace=self._options.workspace,
            )
            self._turn.take()
        return nothing_known

    def note(self, sentence: str) -> None:
        """Note a sentence for the user in the receipt."""
        self._receipt.note(sentence)

    def write(self, chunk: Chunk) -> None:
        if self._turn is not None:
            self._turn.check()
        for row in rows_of(chunk, "workspaces"):
            self._workspaces.add(row)
        for workspace, part in self._router.split(chunk):
            try:
                sink = self._sink(workspace)
            except ItemError:
                self._lose(workspace, part)
            else:
                sink.write(part)

    def _sink(self, workspace: str) -> ReplaySink:
        """Return what writes the objects of a workspace of the source. Raises ItemError where the target has none."""
        place = self._workspaces.place_of(workspace)
        with self._lock:
            if workspace not in self._sinks:
                target = nothing_there(self._target.uri) if place.new else self._target.in_workspace(place.workspace)
                sink = ReplaySink(
                    target,
                    options=self._options.behind(place.prefix),
                    progress=self._progress,
                    facts_of=self._facts_of,
                    receipt=self._receipt,
                )
                if self._begun is None:
                    message = "begin() comes before write()"
                    raise RuntimeError(message)
                sink.begin(*self._begun)
                self._sinks[workspace] = sink
            return self._sinks[workspace]

    def _lose(self, workspace: str, part: Chunk) -> None:
        with self._lock:
            counts = self._left_out.setdefault(workspace, Counter())
            for name, rows in part.tables.items():
                if is_identity(TABLES[name]):
                    counts[TABLES[name].entity or ""] += rows.num_rows

    def finish(self) -> Report:
        """Finish every workspace, and report on all of them at once."""
        try:
            for sink in self._sinks.values():
                sink.finish()
            for workspace, counts in sorted(self._left_out.items()):
                why = f": the target did not take their workspace {workspace!r}"
                self._receipt.refuse_many(counts, refusals.WORKSPACE_REFUSED, why)
        except BaseException:
            self.abort()
            raise
        if self._turn is not None:
            self._turn.give_back()
        self._target.close()
        return self._receipt.report()

    def so_far(self) -> Report:
        """Report on what has been done until now; may be called at any time, from any thread."""
        return self._receipt.report()

    def abort(self) -> None:
        """Leave all as it is, for a later import to complete."""
        if self._turn is not None:
            self._turn.leave()
        self._target.close()
