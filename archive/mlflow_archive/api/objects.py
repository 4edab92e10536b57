"""Runs and all other objects of an open archive, as people handle them in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlflow_archive.api.answer import arrow_html
from mlflow_archive.api.artifact_tree import ArtifactFolder, artifacts_of, tree_at
from mlflow_archive.format.notebook import pairs_html, rows_html
from mlflow_archive.kinds import RUN
from mlflow_archive.optional import needing
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.artifact_owner import ArtifactReference
from mlflow_archive.reader.inspection.details import RunDetails, run_details
from mlflow_archive.reader.inspection.objects import ObjectDetails
from mlflow_archive.reader.inspection.rows import dated, worded
from mlflow_archive.reader.inspection.spans import Span, spans_of, tree

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class History:
    """All points of one metric, in order of step, time and value."""

    key: str
    table: pa.Table
    """Columns ``step``, ``timestamp`` (ms, UTC) and ``value``."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the points as a pandas data frame."""
        with needing("pandas", "a data frame"):
            return self.table.to_pandas()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def _repr_html_(self) -> str:
        return arrow_html(self.key, self.table)


class Run:
    """A run, read once. ``info`` are the columns of the table ``runs``, times as ``datetime``."""

    def __init__(self, archive: Archive, run_id: str) -> None:
        self._archive = archive
        self._details: RunDetails = run_details(archive, run_id)
        self.info: Mapping[str, Any] = dated(self._details.info)
        self.params: Mapping[str, str] = self._details.params
        self.tags: Mapping[str, str | None] = self._details.tags
        self.inputs: Sequence[Mapping[str, Any]] = dated(self._details.inputs)
        self.gaps = self._details.gaps

    @property
    def run_id(self) -> str:
        """The id of the run, as MLflow has it."""
        return str(self.info["run_id"])

    @property
    def metrics(self) -> Mapping[str, float]:
        """The latest value of each metric."""
        return {history.key: history.values[-1] for history in self._details.metrics}

    def history(self, key: str) -> History:
        """Return all points of a metric. Raises KeyError for one the run does not have."""
        for points in self._details.metrics:
            if points.key == key:
                times = pa.array(points.timestamps, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
                columns = {
                    "step": pa.array(points.steps, pa.int64()),
                    "timestamp": times,
                    "value": pa.array(points.values, pa.float64()),
                }
                return History(key, pa.table(columns))
        raise KeyError(f"run {self.run_id} has no metric {key!r}; it has {', '.join(self.metrics) or 'none'}")

    @cached_property
    def artifacts(self) -> ArtifactFolder:
        """The artifacts of the run as a tree, with a folder for each logged model it made."""
        return tree_at(self._archive, ArtifactReference(kind=RUN, owner_id=self.run_id))

    def __repr__(self) -> str:
        return f"<run {self.run_id} {self.info['run_name']!r} {self.info['status']}>"

    def _repr_html_(self) -> str:
        info = worded({name: value for name, value in self._details.info.items() if value is not None})
        files = {file.path: f"{file.size:,} bytes" for file in self.artifacts.files()}
        parts = {"run": info, "params": self.params, "tags": self.tags, "metrics": self.metrics, "artifacts": files}
        return "".join(pairs_html(title, values) for title, values in parts.items())


class StoredObject:
    """An object of any other kind. ``rows`` are the rows it owns by table, ``pairs`` its tags, params and metadata.

    Times in them are ``datetime``.
    """

    _shown_apart: tuple[str, ...] = ()

    def __init__(self, archive: Archive, details: ObjectDetails) -> None:
        self._archive = archive
        self.kind = details.kind
        self.id = details.owner_id
        self._details = details
        self.info: Mapping[str, Any] = dated(details.info)
        self.pairs: Mapping[str, Mapping[str, Any]] = dated(details.pairs)
        self.rows: Mapping[str, Sequence[Mapping[str, Any]]] = dated(details.tables)
        self.gaps = details.gaps

    @cached_property
    def artifacts(self) -> ArtifactFolder:
        """The artifacts of the object as a tree."""
        return artifacts_of(self._archive, self.kind, self.id)

    def __repr__(self) -> str:
        return f"<{self.kind.replace('_', ' ')} {self.id}>"

    def _repr_html_(self) -> str:
        info = worded({name: value for name, value in self._details.info.items() if value is not None})
        pairs, tables = self._details.pairs.items(), worded(self._details.tables).items()
        return (
            pairs_html(self.kind.replace("_", " "), info)
            + "".join(pairs_html(name.replace("_", " "), worded(values)) for name, values in pairs)
            + "".join(rows_html(name.replace("_", " "), rows) for name, rows in tables if name not in self._shown_apart)
        )


class Trace(StoredObject):
    """A trace. Its spans may lie in the table ``spans`` or in a file; ``spans`` has them from both."""

    _shown_apart = ("spans",)

    @cached_property
    def spans(self) -> Sequence[Span]:
        """The spans by start. Raises DamagedError."""
        return spans_of(self._archive, self.id)

    def _repr_html_(self) -> str:
        rows = [
            {
                "span": "\N{EM SPACE}" * depth + span.name,
                "type": span.type,
                "status": span.status,
                "ms": None if span.duration_ns is None else f"{span.duration_ns / 1e6:.3f}",
                "inputs": span.inputs,
                "outputs": span.outputs,
                "error": span.error,
            }
            for depth, span in tree(self.spans)
        ]
        return super()._repr_html_() + rows_html("spans", rows)
