"""A sink that only counts, for dry runs. It writes nothing and does not read the bytes of artifacts."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from threading import Lock

from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.index import entity_key
from mlflow_archive.kinds import BY_ROW, RUN, TABLES
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.base import Base
from mlflow_archive.writer.export import ArchiveOptions
from mlflow_archive.writer.same_source import SameSource, check_versions_whole


class CountingSink:
    """Counts rows by table, artifacts, and the bytes the source announces for them.

    With ``base``, an archive that would be added to with ``options``, entities that it holds unchanged are left out,
    and another source than that of the archive is refused. Bytes of artifacts for which the source announces no size
    are missing in ``artifact_bytes``; ``details`` says how many.
    """

    def __init__(
        self, *, base: Base | None = None, options: ArchiveOptions | None = None, progress: Progress | None = None
    ) -> None:
        self._base = base
        self._options = options or ArchiveOptions()
        self._same_source: SameSource | None = None
        self._progress = progress or Quiet()
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._known_rows: set[tuple[str, ...]] = set()
        self._gaps: list[Gap] = []
        self._unsized = 0
        self._facts: dict[str, object] = {}

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        self._facts = {name: value for name, value in asdict(facts).items() if value is not None}
        fingerprints: dict[tuple[str, str], Fingerprint] = {}
        if self._base is not None:
            check_versions_whole(self._base, selection)
            self._same_source = None if self._options.same_source else SameSource(self._base, facts)
            rows = () if self._options.recheck else self._base.fingerprints()
            fingerprints = {(kind, owner_id): value for kind, owner_id, value in rows}

        def known(kind: str, entity_id: str) -> Fingerprint | None:
            return fingerprints.get((kind, entity_id)) or fingerprints.get(("", entity_key(kind, entity_id).hex()))

        return known

    def write(self, chunk: Chunk) -> None:
        if self._same_source is not None:
            self._same_source.check(chunk.tables)
        sizes = [file.size for file in chunk.artifacts]
        with self._lock:
            for name, rows in chunk.tables.items():
                self._counts[name] += rows.num_rows if TABLES[name].entity in (RUN, BY_ROW) else self._new(name, chunk)
            if "gaps" in chunk.tables:
                self._gaps += [Gap(**row) for row in chunk.tables["gaps"].to_pylist()]
            self._counts["artifacts"] += len(sizes)
            self._counts["artifact_bytes"] += sum(size or 0 for size in sizes)
            self._unsized += sizes.count(None)
        self._progress.advance("artifacts", len(sizes))

    def _new(self, name: str, chunk: Chunk) -> int:
        """Count rows not seen before: experiments and datasets may come with several shards."""
        columns = (chunk.tables[name][column].to_pylist() for column in TABLES[name].key)
        keys = {(name, *key) for key in zip(*columns, strict=True)} - self._known_rows
        self._known_rows |= keys
        return len(keys)

    def finish(self) -> Report:
        counts = {name: count for name, count in sorted(self._counts.items()) if name != "fingerprints"}
        details: dict[str, object] = {
            "dry_run": True,
            "source": self._facts,
            "artifacts_of_unknown_size": self._unsized,
        }
        return Report(counts=counts, gaps=self._gaps, details=details)

    def abort(self) -> None:
        """Nothing to undo."""
