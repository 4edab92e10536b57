"""Objects read from files, on their way into chunks: rows by table, artifact files, gaps, a fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.flow.chunk import ArtifactFile, Known, nothing_known
from mlflow_archive.format.fingerprint import Fingerprint, entity_fingerprint, run_fingerprint
from mlflow_archive.kinds import INCREMENTAL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.points import Latest
from mlflow_archive.sources.reading.rows import Cell, Row, Rows, pair_rows

ACTIVE: Final = "active"
DELETED: Final = "deleted"
RUN_NAME_TAG: Final = "mlflow.runName"


def selected_files(
    kind: str, owner_id: str, files: Iterable[FoundFile], selection: Selection, prefix: str = ""
) -> list[ArtifactFile]:
    """Return the files of an object that a selection takes; ``prefix`` is put before their paths."""
    return [
        ArtifactFile(
            owner_kind=kind, owner_id=owner_id, path=prefix + file.path, size=file.size, open=file.open, mark=file.mark
        )
        for file in files
        if selection.wants_artifact(prefix + file.path, file.size)
    ]


@dataclass(slots=True, kw_only=True)
class Entity:
    """A logged model, trace, registered model or evaluation dataset. ``gaps`` names its kind and id.

    ``shared`` are rows that other objects bring, too; they do not count for the fingerprint.
    """

    gaps: GapList
    rows: dict[str, list[Row]] = field(default_factory=dict)
    shared: list[tuple[str, Row]] = field(default_factory=list)
    files: list[ArtifactFile] = field(default_factory=list)

    @classmethod
    def new(cls, kind: str, owner_id: str) -> Entity:
        """Return an object that has nothing yet."""
        return cls(gaps=GapList(owner_kind=kind, owner_id=owner_id))

    @property
    def kind(self) -> str:
        return self.gaps.owner_kind

    @property
    def owner_id(self) -> str:
        return self.gaps.owner_id

    def add(self, table: str, /, **row: Cell) -> None:
        """Add a row to a table."""
        self.rows.setdefault(table, []).append(row)

    def add_pairs(self, table: str, pairs: Mapping[str, Cell], /, **own: Cell) -> None:
        """Add a row to a table for each key and value."""
        for row in pair_rows(pairs, **own):
            self.add(table, **row)

    def take_files(self, files: Iterable[FoundFile], selection: Selection, *, prefix: str = "") -> None:
        """Add the files that are selected; ``prefix`` is put before their paths."""
        self.files += selected_files(self.kind, self.owner_id, files, selection, prefix)

    def fingerprint(self) -> Fingerprint | None:
        """Return the fingerprint (spec/format.md, "Fingerprints"); None for kinds without one, and with gaps."""
        if self.gaps or self.kind not in INCREMENTAL:
            return None
        return entity_fingerprint(self.rows, self.files)

    def add_to(self, rows: Rows, known: Known = nothing_known) -> None:
        """Add everything to the rows of a chunk, nothing if the fingerprint is the one that is ``known``."""
        fingerprint = self.fingerprint()
        if fingerprint is not None and fingerprint.agrees_with(known(self.kind, self.owner_id)):
            return
        rows.add_all(self.rows)
        for table, row in self.shared:
            rows.add(table, row)
        rows.finish(self.gaps, self.files, fingerprint)


@dataclass(slots=True, kw_only=True)
class RunEdges:
    """The inputs and outputs of a run.

    ``datasets`` has rows of ``dataset_inputs``, each with its rows of ``dataset_input_tags``.
    """

    datasets: list[tuple[Row, list[Row]]] = field(default_factory=list)
    model_inputs: list[Row] = field(default_factory=list)
    model_outputs: list[Row] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """A run but for its points. ``info`` has the columns of ``runs``, ``datasets`` rows of that table.

    ``gaps`` is what could not be read of it. ``latest`` is filled by whoever reads the points.
    """

    run_id: str
    info: Mapping[str, str | int | None]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    gaps: GapList
    edges: RunEdges = field(default_factory=RunEdges)
    datasets: list[Row] = field(default_factory=list)
    latest: Latest = field(default_factory=Latest)
    files: list[ArtifactFile] = field(default_factory=list)

    @property
    def inputs(self) -> list[tuple[Row, list[Row]]]:
        return self.edges.datasets

    def fingerprint(self) -> Fingerprint | None:
        """Return the fingerprint, once all points were read; None with gaps."""
        if self.gaps:
            return None
        latest = self.latest
        return run_fingerprint(self.info, self.params, self.tags, latest.points.values(), self.files, latest.counts)

    def begin(self, rows: Rows) -> None:
        """Add the rows that come before the points."""
        rows.add("runs", self.info)
        for table, values in (("params", self.params), ("tags", self.tags)):
            rows.add_all({table: pair_rows(values, run_id=self.run_id)})
        rows.add_all({"datasets": self.datasets})
        for row, tags in self.inputs:
            rows.add_all({"dataset_inputs": [row], "dataset_input_tags": tags})
        rows.add_all({"model_inputs": self.edges.model_inputs, "model_outputs": self.edges.model_outputs})

    def finish(self, rows: Rows) -> None:
        """Add what comes after the points: artifacts, gaps and, without gaps, the fingerprint."""
        rows.finish(self.gaps, self.files, self.fingerprint())
