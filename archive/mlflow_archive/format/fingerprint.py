"""The fingerprint of an entity: what it looked like when it was read (spec/format.md, "Fingerprints").

Equal fingerprints let a later export leave an entity out. That of a run covers run info, params, tags, the latest
value of each metric and the artifact listing, nothing that costs a read of histories or bytes; a point added to the
middle of a history is not seen. Those of logged models and traces cover all their rows but spans.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)

LatestMetric = tuple[str, int, int, float]
"""(key, step, timestamp in ms, value)"""


def run_fingerprint(
    info: Mapping[str, str | int | None],
    params: Mapping[str, str],
    tags: Mapping[str, str | None],
    latest_metrics: Iterable[LatestMetric],
    artifacts: Iterable[tuple[str, int | None]],
) -> str:
    """Return the SHA-256 in hex over the canonical JSON of the five parts.

    ``info`` holds columns of ``runs`` with times as milliseconds; None values are left out, so that a source that
    does not show a field and one that shows it empty agree. Artifacts are (path, announced size) pairs.
    """
    document = [
        {name: value for name, value in info.items() if value is not None},
        dict(params),
        dict(tags),
        sorted([key, step, time, repr(float(value))] for key, step, time, value in latest_metrics),
        sorted([path, -1 if size is None else size] for path, size in artifacts),
    ]
    return _digest(document)


def entity_fingerprint(
    rows: Mapping[str, Sequence[Mapping[str, object]]], artifacts: Iterable[tuple[str, int | None]]
) -> str:
    """Return the SHA-256 in hex over the canonical JSON of a logged model's or trace's rows and artifact listing.

    ``rows`` are by table, times as milliseconds, ``spans`` left out; tables without rows and None values do not
    count. Artifacts are (path, announced size) pairs.
    """
    return _digest(
        [
            {
                name: sorted(_row(row) for row in table_rows)
                for name, table_rows in rows.items()
                if table_rows and name != "spans"
            },
            sorted([path, -1 if size is None else size] for path, size in artifacts),
        ]
    )


def _row(row: Mapping[str, object]) -> str:
    values = {
        name: repr(value) if isinstance(value, float) else value for name, value in row.items() if value is not None
    }
    return _canonical(values)


def _digest(document: object) -> str:
    return hashlib.sha256(_canonical(document).encode("ascii")).hexdigest()


def _canonical(document: object) -> str:
    return _ENCODER.encode(document)
