"""Keys that occur twice in a part of a table: see ``faults``."""

from __future__ import annotations

from typing import Final

from tests.spec.drafts import part
from tests.spec.faults import Fault, change, deep, in_pairs, table

FAULTS: Final[dict[str, Fault]] = {
    "E035_key_twice": deep("A param occurs twice.", tables=table("params", lambda t: t.take([0, 0, 1, 2, 3]))),
    "E035_across_row_groups": deep(
        "The last row of a row group is the first of the next, too.",
        tables=table("params", lambda t: t.take([0, 1, 1, 2, 3])),
        members=change(part("params"), in_pairs),
    ),
    "E035_apart": deep(
        "A param occurs twice, with another between, as rows of one run are not sorted.",
        "W007",
        tables=table("params", lambda t: t.take([0, 1, 0, 2, 3])),
    ),
    "E035_apart_across_row_groups": deep(
        "A param occurs twice in different row groups, as rows of one run are not sorted.",
        "W007",
        tables=table("params", lambda t: t.take([0, 1, 0, 2, 3])),
        members=change(part("params"), in_pairs),
    ),
}
