"""What is odd in each vector that is sound nevertheless, named by the code of the warning and a word or two."""

from __future__ import annotations

from typing import Final

from tests.spec.drafts import base_rows, encode_part, make_table, part
from tests.spec.faults import Fault, add, deep, document, flat, table

WARNINGS: Final[dict[str, Fault]] = {
    "W001_staging": flat("An export is under way.", files=add("staging/plan.json", b"{}")),
    "W001_next_export": flat("A part of an export that was not committed.", files=add("packs/0002-00000.zst", b"")),
    "W002_stray_of_this_export": flat(
        "A file named as one of the newest export, which does not list it.", files=add("packs/0001-00007.zst", b"")
    ),
    "W002_stray_file": flat("A file that belongs to nothing.", files=add("notes.txt", b"mine\n")),
    "W003_unused_blob": deep("No artifact names a blob.", rows=lambda rows: rows["artifacts"].pop()),
    "W004_optional_feature": deep("An unknown optional feature.", manifest=document(optional_features=["nice"])),
    "W006_no_page_checksums": deep(
        "A part without page checksums.",
        members=add(part("params"), encode_part(make_table("params", base_rows()["params"]), checksums=False)),
    ),
    "W007_not_sorted_within_run": deep(
        "Params of one run in the wrong order.", tables=table("params", lambda t: t.take([1, 0, 2, 3]))
    ),
}
