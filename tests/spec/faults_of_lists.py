"""What is wrong in lists of the manifest that have an order: see ``faults``."""

from __future__ import annotations

from typing import Final

from tests.spec.drafts import RUN_A, STEP
from tests.spec.faults import Fault, document, flat

FAULTS: Final[dict[str, Fault]] = {
    "E002_members_not_sorted": flat("The members stand in reverse.", manifest=lambda d: d["members"].reverse()),
    "E002_features_not_sorted": flat(
        "Optional features, none of them known, that are not sorted.", manifest=document(optional_features=["b", "a"])
    ),
    "E002_settled_object": flat(
        "A run stands among what is told no more.", manifest=lambda d: d["exports"][0].update(settled=[["run", RUN_A]])
    ),
    "E002_settled_not_sorted": flat(
        "What is told no more stands in no order.",
        manifest=lambda d: d["exports"][0].update(settled=[["source", "run"], ["scorer", ""]]),
    ),
    "E002_compacted_empty": flat(
        "An export was thinned out no times.", manifest=lambda d: d["exports"][0].update(compacted=[])
    ),
    "E002_compacted_first": flat(
        "An export has rows from a later one on.",
        manifest=lambda d: d["exports"][0].update(compacted=[STEP | {"first": 4}]),
    ),
    "E002_compacted_id": flat(
        "An export does not say of which archive it is.",
        manifest=lambda d: d["exports"][0].update(compacted=[STEP | {"archive_id": "older"}]),
    ),
}
