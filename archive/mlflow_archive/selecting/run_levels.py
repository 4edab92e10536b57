"""Runs by their depth below the topmost of their parents, in a few bytes a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc


def by_depth(runs: pa.StringArray, links: Iterable[tuple[pa.ChunkedArray, pa.ChunkedArray]]) -> Iterator[pa.Array]:
    """Yield the sorted ``runs`` without a parent among them, then their children, and so on, each sorted.

    ``links`` are children and their parents, which need not be among the runs. Runs that are their own ancestors, and
    those below them, come last; their circle is cut where it is met.

    >>> links = pa.chunked_array([["a", "b"]]), pa.chunked_array([["b", "x"]])
    >>> [level.to_pylist() for level in by_depth(pa.array(["a", "b", "c"]), [links])]
    [['b', 'c'], ['a']]
    """
    links_left = _positions(runs, links)
    level = _without(pa.array(range(len(runs)), pa.int32()), links_left["child"])
    while len(level):
        yield runs.take(level)
        below = pc.is_in(links_left["parent"], value_set=level)
        level, links_left = _sorted(links_left["child"].filter(below)), links_left.filter(pc.invert(below))
    for circular in _cut(dict(zip(links_left["child"].to_pylist(), links_left["parent"].to_pylist(), strict=True))):
        yield runs.take(pa.array(circular, pa.int32()))


def _positions(runs: pa.StringArray, links: Iterable[tuple[pa.ChunkedArray, pa.ChunkedArray]]) -> pa.Table:
    """Return links as positions in ``runs``, one of each child."""
    tables = [_NO_LINKS]
    for children, parents in links:
        columns = [pc.index_in(column, value_set=runs) for column in (children, parents)]
        tables.append(pa.table(columns, schema=_NO_LINKS.schema).drop_null())
    pairs = pa.concat_tables(tables)
    if len(pairs["child"].unique()) < pairs.num_rows:
        single = dict(zip(pairs["child"].to_pylist(), pairs["parent"].to_pylist(), strict=True))
        pairs = pa.table([list(single), list(single.values())], schema=_NO_LINKS.schema)
    return pairs


def _cut(parents: dict[int, int]) -> list[list[int]]:
    """Return, by depth, runs each of which has another of them as its parent."""
    depths: dict[int, int] = {}
    for run in sorted(parents):
        path = {run: None}
        last = run
        # A run that is its own ancestor has no depth: the chain is cut where it closes.
        while last not in depths and parents[last] not in path:
            last = parents[last]
            path[last] = None
        depth = depths.get(last, 0)
        for below, node in enumerate(reversed(path)):
            depths.setdefault(node, depth + below)
    levels: list[list[int]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for run in sorted(depths):
        levels[depths[run]].append(run)
    return levels


def _without(values: pa.Array, excluded: pa.ChunkedArray) -> pa.Array:
    return values.filter(pc.invert(pc.is_in(values, value_set=excluded.combine_chunks())))


def _sorted(values: pa.ChunkedArray) -> pa.Array:
    return pc.take(values, pc.sort_indices(values)).combine_chunks()


_NO_LINKS = pa.schema([("child", pa.int32()), ("parent", pa.int32())]).empty_table()
