"""The sink that replays: any source into any MLflow server or store, through MLflow's API, under new ids.

It only hands each chunk to the writers of its kinds, in the order of ``writers.kind_writers``; how the objects of a
kind are found, made and completed is said in the folder of its family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Lock, local
from typing import Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Known, nothing_known
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format import refusals
from mlflow_archive.format.gaps import SOURCE
from mlflow_archive.format.nul_characters import NUL, columns_with_nul, without_nul
from mlflow_archive.format.source_tags import ExportFacts
from mlflow_archive.http.default_uri import scheme_of
from mlflow_archive.kinds import DEFAULT_WORKSPACE, TABLES, WORKSPACE, is_identity
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.writers import kind_writers
from mlflow_archive.sinks.replay.writing.failures import check_one_item
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import Row

_SEARCH: Final = "/api/2.0/mlflow/experiments/search"


class HeldTexts:
    """Makes NUL characters visible where the target's database holds none. Usable by several threads."""

    def __init__(self, target: Target, receipt: Receipt) -> None:
        self._target, self._receipt = target, receipt
        self._lock = Lock()
        self._holds_nul: bool | None = None

    def fit(self, chunk: Chunk) -> Chunk:
        """Return a chunk of which the target can hold every text; what that changes is in the receipt."""
        with_nul = [name for name, rows in chunk.tables.items() if TABLES[name].entity and columns_with_nul(rows)]
        if not with_nul or self._target_holds_nul():
            return chunk
        tables = dict(chunk.tables)
        for name in with_nul:
            tables[name], changed = without_nul(name, tables[name])
            for text in changed:
                self._receipt.rewritten(text.to_json())
            self._receipt.changed("texts_with_nul", len(changed))
        return replace(chunk, tables=tables)

    def _target_holds_nul(self) -> bool:
        """Return whether the target's database takes a text with NUL, by a search for a name that has one."""
        if scheme_of(self._target.uri) == "postgresql":
            return False
        with self._lock:
            if self._holds_nul is None:
                condition = f"name = 'a{NUL}b'"
                try:
                    self._target.api.post(_SEARCH, {"filter": condition, "max_results": 1})
                except ServerError as exc:
                    check_one_item(exc)
                    self._holds_nul = False
                else:
                    self._holds_nul = True
            return self._holds_nul


_RESTORE: Final = "`mlflow-archive restore` brings them in"

FactsOfRow = Callable[[Row], ExportFacts]


class _Thread(local):
    def __init__(self) -> None:
        self.kinds: set[str] = set()


class ReplaySink:
    """Writes into a target; safe to repeat, and to go on with after a kill.

    ``facts_of`` says of a row of ``runs`` or ``experiments`` by which export it came, where an archive holds several;
    by default all came by the one that the source's facts describe: ``extra["exported_ms"]`` is its time, and
    ``extra["tracking_uri"]`` the server where the source is another tool's export of it.
    ``receipt`` is for several sinks that report together.
    ``kinds`` are those that it writes; workspaces are made by WorkspaceSink.
    Experiments and datasets must come before the runs that are in them, parents before their children.
    """

    def __init__(
        self,
        target: Target,
        *,
        options: ReplayOptions | None = None,
        progress: Progress | None = None,
        facts_of: FactsOfRow | None = None,
        receipt: Receipt | None = None,
    ) -> None:
        options = options or ReplayOptions()
        self._target = target
        self._facts_of = facts_of
        self._receipt = receipt or Receipt(target.uri, dry_run=options.dry_run)
        self._texts = HeldTexts(target, self._receipt)
        context = ReplayContext.of(target, options, self._receipt, self._export_of)
        self._writers: dict[str, KindWriter] = {
            kind: writer for writer in kind_writers(context, progress or Quiet()) for kind in writer.kinds
        }
        self.kinds = frozenset(self._writers)
        self._left_out: Counter[str] = Counter()
        self._lock = Lock()
        self._thread = _Thread()

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        """Make sure that the target answers. All that is selected must come: the target's copies are compared here."""
        self._target.check()
        if self._facts_of is None:
            exported = facts.extra.get("exported_ms")
            export = ExportFacts(
                tracking_uri=facts.extra.get("tracking_uri", facts.uri),
                mlflow_version=facts.mlflow_version,
                exported_ms=None if exported is None else int(exported),
            )
            self._facts_of = lambda row: export
        return nothing_known

    def _export_of(self, row: Row) -> ExportFacts:
        if self._facts_of is None:
            message = "begin() comes before write()"
            raise RuntimeError(message)
        return self._facts_of(row)

    def write(self, chunk: Chunk) -> None:
        """Write a chunk; what cannot be written of it is refused in the receipt."""
        gaps = chunk.tables.get("gaps")
        if gaps is not None and gaps.num_rows:
            self._receipt.count("gaps_in_source", gaps.num_rows)
        self._count_left_out(chunk)
        for name, rows in chunk.unknown_tables.items():
            reason = f"{rows.num_rows} rows of the table {name}, which this version does not know; {_RESTORE}"
            self._receipt.refuse(SOURCE, name, "", refusals.KIND_REFUSED, reason)
        chunk = self._texts.fit(chunk)
        kinds = self._kinds_under_way(chunk)
        for writer in self._writers_of(kinds):
            writer.write(chunk)

    def _kinds_under_way(self, chunk: Chunk) -> set[str]:
        """Return the kinds of a chunk, and those that earlier chunks of the shard of this thread have begun.

        A run or trace that comes in several chunks ends with the last of them, which may hold nothing more of it.
        """
        kinds = self._thread.kinds | {TABLES[name].entity or "" for name, rows in chunk.tables.items() if rows.num_rows}
        kinds |= {file.owner_kind for file in chunk.artifacts}
        self._thread.kinds = set() if chunk.complete else kinds
        return kinds

    def _writers_of(self, kinds: set[str]) -> dict[KindWriter, None]:
        """Return the writers of some kinds, each once, in the order in which they write."""
        return dict.fromkeys(writer for kind, writer in self._writers.items() if kind in kinds)

    def _count_left_out(self, chunk: Chunk) -> None:
        for name, rows in chunk.tables.items():
            table = TABLES[name]
            kind = table.entity or ""
            if is_identity(table) and kind not in self.kinds and rows.num_rows:
                names = rows["name"].to_pylist() if kind == WORKSPACE else []
                with self._lock:
                    self._left_out[kind] += rows.num_rows - names.count(DEFAULT_WORKSPACE)

    def finish(self) -> Report:
        """Write what waited, delete what is deleted at the source, and report."""
        writers = list(self._writers_of(set(self.kinds)))
        try:
            for writer in writers:
                writer.finish()
            for writer in reversed(writers):  # what lies in a run or experiment comes after it
                writer.delete()
            for writer in writers:
                writer.after_deletion()
            why = f" of the archive; {_RESTORE}"
            self._receipt.refuse_many(self._left_out, refusals.KIND_REFUSED, why)
        finally:
            self._target.close()
        return self._receipt.report()

    def abort(self) -> None:
        """Leave all as it is: runs that are not complete are marked, and completed when the import is repeated."""
        self._target.close()
