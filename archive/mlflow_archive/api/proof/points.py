"""Histories: all points of each metric, as the import fits them, against those that the target holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

import pyarrow as pa

from mlflow_archive.api.differences import FieldChange
from mlflow_archive.api.proof.comparing import held
from mlflow_archive.api.proof.naming import Notes
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.reader.archive import Archive
from mlflow_archive.sinks.replay.options import Limits
from mlflow_archive.sinks.replay.runs.run_fitting import RunFitter
from mlflow_archive.sinks.replay.runs.run_rows import RunRows
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.rows import values_of

RUNS_AT_ONCE: Final = 20
_COLUMNS: Final = ("run_id", "key", "step", "timestamp", "value")
_History = list[tuple[int, int, float]]
"""(step, timestamp in ms, value), sorted"""


class PointComparison:
    """Compares the points of runs, some runs at a time."""

    def __init__(self, archive: Archive, target: Archive, limits: Limits, receipt: Receipt, notes: Notes) -> None:
        self._archive, self._target = archive, target
        self._limits, self._receipt, self._notes = limits, receipt, notes
        self.count = 0

    def changes(self, ids: Mapping[str, str]) -> Iterator[tuple[str, FieldChange]]:
        """Yield what differs of runs by the id that they have in the target; ``ids`` are source id to target id."""
        sources = sorted(ids)
        for at in range(0, len(sources), RUNS_AT_ONCE):
            yield from self._block({source: ids[source] for source in sources[at : at + RUNS_AT_ONCE]})

    def _block(self, ids: Mapping[str, str]) -> Iterator[tuple[str, FieldChange]]:
        rows, target_rows = (
            self._archive.table("metrics", owners=ids),
            self._target.table("metrics", owners=ids.values()),
        )
        self.count += rows.num_rows
        if with_dataset := len(rows) - rows["dataset_name"].null_count:
            place = "metrics.dataset_name"
            self._notes.add(Rule.LEFT_OUT, place, next(iter(ids)), f"{with_dataset} points", None, amount=with_dataset)
        if _sorted(rows, ids).equals(_sorted(target_rows, None)):
            return
        by_run, by_target_run = _by_run(rows), _by_run(target_rows)
        for source_id, target_id in ids.items():
            fitted = self._fitted(source_id, by_run.get(source_id, []))
            for key, before, after in _differing(fitted, _histories(by_target_run.get(target_id, []))):
                own = [point for point in after if point in before or not self._is_of_model(source_id, key, point)]
                if len(own) != len(after):
                    amount = len(after) - len(own)
                    self._notes.add(Rule.MADE_UP, "metrics", target_id, None, f"{amount} of {key}", amount=amount)
                if list(map(repr, before)) != list(map(repr, own)):
                    yield target_id, _change(key, before, own)

    def _is_of_model(self, source_id: str, key: str, point: tuple[int, int, float]) -> bool:
        """Return whether a point is one of a logged model, which MLflow keeps with the run as well."""
        return (source_id, key, *point) in self._of_models

    @cached_property
    def _of_models(self) -> set[tuple[str, str, int, int, float]]:
        columns = ("run_id", "key", "step", "timestamp", "value")
        return {
            (run_id, key, step, max(0, time), held(value))
            for rows in self._archive.batches("logged_model_metrics", columns=columns)
            for run_id, key, step, time, value in zip(*(values_of(rows[name]) for name in columns), strict=True)
            if value is not None
        }

    def _fitted(self, source_id: str, points: Sequence[tuple[str, float, int, int]]) -> dict[str, _History]:
        """Return what the import writes of the points of a run, and name what that changes."""
        fitted = RunFitter(self._limits, self._receipt, source_id).metrics(
            RunRows(run_id=source_id, metrics=list(points))
        )
        if len(points) != len(fitted):
            amount = len(points) - len(fitted)
            self._notes.add(Rule.LEFT_OUT, "metrics", source_id, f"{amount} points", None, amount=amount)
        changed = [point for point in fitted if repr(held(point[1])) != repr(point[1])]
        for key, value, _, _ in changed:
            self._notes.add(Rule.FITTED, "metrics.value", source_id, f"{key}={value!r}", repr(held(value)))
        early = [point for point in points if point[2] < 0]
        for key, _, time, _ in early:
            self._notes.add(Rule.FITTED, "metrics.timestamp", source_id, f"{key} at {time}", 0)
        return _histories(fitted)


def _sorted(rows: pa.Table, ids: Mapping[str, str] | None) -> pa.Table:
    rows = rows.select(_COLUMNS).combine_chunks()
    if ids is not None and rows.num_rows:
        encoded = rows["run_id"].combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        runs = pa.array([ids[run_id] for run_id in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)
        rows = rows.set_column(0, "run_id", runs)
    return rows.sort_by([(name, "ascending") for name in _COLUMNS]).combine_chunks()


def _by_run(rows: pa.Table) -> Mapping[str, list[tuple[str, float, int, int]]]:
    runs = defaultdict(list)
    columns = (values_of(rows[name]) for name in ("run_id", "key", "value", "timestamp", "step"))
    for run_id, key, value, time, step in zip(*columns, strict=True):
        runs[run_id].append((key, value, time, step))
    return runs


def _histories(points: Sequence[tuple[str, float, int, int]]) -> dict[str, _History]:
    histories: dict[str, set[tuple[int, int, float, str]]] = defaultdict(set)
    for key, value, time, step in points:
        number = held(value)
        histories[key].add((step, time, number if number == number else 0.0, repr(number)))  # noqa: PLR0124 - NaN
    return {key: [(s, t, float(text)) for s, t, _, text in sorted(points)] for key, points in histories.items()}


def _differing(
    fitted: Mapping[str, _History], target: Mapping[str, _History]
) -> Iterator[tuple[str, _History, _History]]:
    for key in sorted(fitted.keys() | target.keys()):
        before, after = fitted.get(key, []), target.get(key, [])
        if list(map(repr, before)) != list(map(repr, after)):
            yield key, before, after


def _change(key: str, before: _History, after: _History) -> FieldChange:
    """Return the first point that differs, or the numbers of points where one history begins as the other."""
    for at, pair in enumerate(zip(before, after, strict=False)):
        if repr(pair[0]) != repr(pair[1]):
            first = [dict(zip(("step", "timestamp", "value"), point, strict=True)) for point in pair]
            return FieldChange(
                table="metrics", key={"key": key, "point": at}, field="point", before=first[0], after=first[1]
            )
    return FieldChange(table="metrics", key={"key": key}, field="points", before=len(before), after=len(after))
