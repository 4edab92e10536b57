"""The fingerprint of an entity: what it looked like when it was read (spec/format.md, "Fingerprints").

Equal fingerprints let a later export leave an entity out. It covers run info, params, tags, the latest value of
each metric and the artifact listing, nothing that costs a read of histories or bytes; a point added to the middle
of a history is not seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

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
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
