"""What is wrong in lists of the manifest that have an order: see ``faults``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.spec.drafts import RUN_A, STEP, Row
from tests.spec.faults import Fault, document, flat


def _redaction(**stated: Any) -> Callable[[Row], object]:
    return lambda document: document["exports"][0].update(redaction=stated)


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
    "E002_redaction_names_not_sorted": flat(
        "The names of rules stand in no order.", manifest=_redaction(rules="a" * 64, names=["b", "a"])
    ),
    "E002_redaction_rules": flat(
        "What stands for the rules is no SHA-256.", manifest=_redaction(rules="A" * 64, names=[])
    ),
    "E002_redaction_other_key": flat(
        "A redaction says more than it may: it could be a value.",
        manifest=_redaction(rules="a" * 64, names=[], values=["x"]),
    ),
}
