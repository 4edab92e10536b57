"""Lists of the objects of an archive, filtered and sorted, read without loading whole tables.

>>> query = Query(filter_string="metrics.loss < 0.1 AND params.lr = '0.01'")
>>> list_objects(archive, "run", query, columns=["run_id", "metrics.loss"], sort="-start_time")  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import EXPERIMENT, RUN, TABLES
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.rows import plain_rows
from mlflow_archive.reader.search import (
    SEARCHABLE,
    Condition,
    Field,
    SearchableKind,
    matching,
    owner_of,
    parse_filter,
    parse_order,
    values_of,
)
from mlflow_archive.reader.search.searchable import ATTRIBUTES
from mlflow_archive.selecting.no_match import no_match
from mlflow_archive.selecting.selection import Selection

Record = dict[str, Any]

_EXTRA: Final[Mapping[str, tuple[str, ...]]] = {
    EXPERIMENT: ("runs",),
    RUN: ("experiment", "duration"),
    "registered_model": ("versions",),
}
"""Columns that are counted or looked up; all kinds that lie in an experiment have its name as ``experiment``, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which objects: all of it holds. ``experiments`` are ids, names or globs; ``stage`` is a lifecycle stage.

    ``filter_string`` is in MLflow's search syntax; ``conditions`` come on top of it.
    """

    filter_string: str | None = None
    experiments: tuple[str, ...] = ()
    stage: str | None = None
    conditions: tuple[Condition, ...] = ()


def columns_of(kind: str) -> tuple[str, ...]:
    """Return the columns that a list of a kind can have, beside ``GROUP.KEY`` for the groups of the kind."""
    own = TABLES[SEARCHABLE[kind].table].column_names
    extra = _EXTRA.get(kind, ("experiment",) if "experiment_id" in own else ())
    return (*own, *extra)


def list_objects(
    archive: Archive,
    kind: str,
    query: Query | None = None,
    *,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> list[Record]:
    """Return the selected objects of a kind with these columns, by default all that ``columns_of`` says.

    ``sort`` is a column with ``-`` in front, or ``DESC`` behind it as in MLflow, descending; objects without a value
    come last. Raises SelectionError for a column, a key that nobody has, an experiment or a filter that makes no
    sense, DamagedError.
    """
    query = query or Query()
    searchable = SEARCHABLE[kind]
    columns = columns_of(kind) if columns is None else columns
    order = _order(sort, kind) if sort else None
    needed = list(dict.fromkeys([*columns, *([order[0]] if order else [])]))
    keyed = {name: _keyed(name, searchable) for name in needed if name not in columns_of(kind)}
    matches = _select(archive, searchable, query)
    rows = plain_rows(matches)
    for name, field in keyed.items():
        values = values_of(archive, searchable, field)
        if not values.num_rows:
            _check_key(archive, searchable, field)
        _add(rows, name, owner_of(matches, searchable), values)
    _add_extra(archive, kind, rows, needed)
    ordered = (_sorted(rows, *order) if order else rows)[:limit]
    return [{name: row[name] for name in columns} for row in ordered]


def keys_of(archive: Archive, kind: str, group: str) -> list[str]:
    """Return the keys that objects of a kind have in a group such as ``metrics``, the most used first."""
    of_group = SEARCHABLE[kind].groups[group]
    counts: Counter[str] = Counter()
    for rows in archive.batches(of_group.table, columns=[of_group.key or "key"]):
        for count in rows[of_group.key or "key"].value_counts().to_pylist():
            counts[count["values"]] += count["counts"]
    return [key for key, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def list_artifacts(
    archive: Archive, owner_id: str | None = None, prefix: str = "", *, kind: str | None = RUN
) -> list[Record]:
    """Return the columns of the table ``artifacts`` of artifacts at or below a path, by owner and path.

    ``owner_id`` is an object of ``kind``; None is all of that kind, and kind None all of every kind.
    """
    owners = None if owner_id is None else [owner_id]
    artifacts = []
    for rows in archive.batches("artifacts", owners=owners):
        artifacts += [
            row for row in rows.to_pylist() if kind in (None, row["owner_kind"]) and is_below(row["path"], prefix)
        ]
    artifacts.sort(key=lambda row: (row["owner_kind"], row["owner_id"], row["path"]))
    return artifacts


def is_below(path: str, prefix: str) -> bool:
    """Return whether a path is ``prefix`` or lies in that folder; all lie below the empty one."""
    prefix = prefix.rstrip("/")
    return not prefix or path == prefix or path.startswith(prefix + "/")


def _keyed(name: str, searchable: SearchableKind) -> Field:
    """Return the field that a column ``GROUP.KEY`` stands for. Raises SelectionError."""
    group, dot, key = name.partition(".")
    group = searchable.aliases.get(group, group)
    if not dot or not key or group not in searchable.groups:
        groups = "".join(f", {group_name}.KEY" for group_name in searchable.groups)
        known = ", ".join(columns_of(searchable.kind))
        raise SelectionError(f"{searchable.plural} have no column {name!r}; there are {known}{groups}")
    return Field(group=group, name=searchable.name_in(group, key))


def _order(sort: str, kind: str) -> tuple[str, bool]:
    """Return the column to sort by, and whether in descending order. Raises SelectionError."""
    name, _, direction = sort.strip().rpartition(" ")
    if not name or direction.upper() not in ("ASC", "DESC"):
        name, direction = sort.strip(), ""
    descending = direction.upper() == "DESC" or name.startswith("-")
    name = name.strip().removeprefix("-")
    if name in columns_of(kind) or "." not in name:
        return SEARCHABLE[kind].attribute_aliases.get(name, name), descending
    field = parse_order(name, SEARCHABLE[kind]).field
    return (field.name if field.group == ATTRIBUTES else f"{field.group}.{field.name}"), descending


def _check_key(archive: Archive, searchable: SearchableKind, field: Field) -> None:
    """Refuse a key that no object has. Raises SelectionError, which names those most like it."""
    if searchable.groups[field.group].names:
        return
    names = {key: repr(key) for key in keys_of(archive, searchable.kind, field.group)}
    if field.name not in names:
        raise no_match(f"key in {field.group} of {searchable.plural}", archive.path, [field.name], names)


def _select(archive: Archive, searchable: SearchableKind, query: Query) -> pa.Table:
    conditions = (*parse_filter(query.filter_string, searchable), *query.conditions)
    names = TABLES[searchable.table].column_names
    if query.experiments:
        if "experiment_id" not in names:
            raise SelectionError(f"{searchable.plural} lie in no experiment; leave out --experiment")
        ids = tuple(sorted(_experiment_names(archive, query.experiments)))
        conditions = (_attribute("experiment_id", "IN", ids), *conditions)
    if query.stage is not None:
        if "lifecycle_stage" not in names:
            raise SelectionError(f"{searchable.plural} have no lifecycle stage; leave out --deleted and --active")
        conditions = (_attribute("lifecycle_stage", "=", query.stage), *conditions)
    return matching(archive, searchable, conditions)


def _attribute(name: str, operator: str, value: Any) -> Condition:
    return Condition(field=Field(group="attributes", name=name), operator=operator, value=value)


def _experiment_names(archive: Archive, patterns: tuple[str, ...]) -> dict[str, str]:
    """Return id to name of the experiments that are selected."""
    rows = archive.table("experiments", columns=["experiment_id", "name"]).to_pylist()
    pairs = [(row["experiment_id"], row["name"]) for row in rows]
    selection = Selection(experiments=patterns)
    if missing := selection.unmatched_experiments(pairs):
        have = ", ".join(repr(name) for _, name in pairs[:5]) or "none"
        raise SelectionError(
            f"no experiment {missing[0]!r} in {archive.path}; it has {have}{', …' if pairs[5:] else ''}"
        )
    return {key: name for key, name in pairs if selection.matches_experiment(key, name)}


def _add(rows: list[Record], name: str, owners: pa.ChunkedArray, values: pa.Table) -> None:
    value_of = dict(zip(values["owner"].to_pylist(), values["value"].to_pylist(), strict=True))
    for row, owner in zip(rows, owners.to_pylist(), strict=True):
        row[name] = value_of.get(owner)


def _add_extra(archive: Archive, kind: str, rows: list[Record], needed: Sequence[str]) -> None:
    if rows and "experiment" in needed and "experiment_id" in rows[0]:
        names = _experiment_names(archive, ())
        for row in rows:
            row["experiment"] = names.get(row["experiment_id"])
    for row in rows if kind == RUN else ():
        row["duration"] = duration_ms(row)
    for column, table, owner in (
        ("runs", "runs", ("experiment_id",)),
        ("versions", "model_versions", TABLES["model_versions"].owner),
    ):
        if column in needed and column in _EXTRA.get(kind, ()):
            _add_counts(archive, rows, column, table, owner)


def duration_ms(run: Mapping[str, Any]) -> int | None:
    """Return how long a run took, None where its start or end is unknown."""
    return None if None in (run["start_time"], run["end_time"]) else int(run["end_time"] - run["start_time"])


def _add_counts(archive: Archive, rows: list[Record], column: str, table: str, owner: tuple[str, ...]) -> None:
    """Add to each row how many rows of another table belong to it."""
    counts: Counter[tuple[str, ...]] = Counter()
    for batch in archive.batches(table, columns=list(owner)):
        counts.update(zip(*(batch[name].to_pylist() for name in owner), strict=True))
    for row in rows:
        row[column] = counts[tuple(row[name] for name in owner)]


def _sorted(rows: list[Record], name: str, descending: bool) -> list[Record]:
    known = [row for row in rows if not _absent(row[name])]
    if _holds_text(name):
        known.sort(key=lambda row: _natural(row[name]), reverse=descending)
    else:
        known.sort(key=lambda row: row[name], reverse=descending)
    return known + [row for row in rows if _absent(row[name])]


def _holds_text(name: str) -> bool:
    """Return whether a column holds texts that may be numbers: params, tags and ids."""
    return name.startswith(("params.", "tags.")) or name == "experiment_id"


def _natural(text: str) -> tuple[int, float, str]:
    """Order numbers by value and before other texts: params are text, but ``lr`` is a number to people."""
    try:
        number = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (1, 0.0, text) if math.isnan(number) else (0, number, text)


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
