"""What was named and not counted, by rule and place, with numbers and the first examples."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from mlflow_archive.api.proof.rules import Rule

EXAMPLES: Final = 3


class Notes:
    """Collects what a proof names."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Rule, str]] = Counter()
        self._examples: dict[tuple[Rule, str], list[dict[str, Any]]] = {}

    def add(self, rule: Rule, place: str, owner: str, before: object, after: object, *, amount: int = 1) -> None:
        """Name something of an object; ``place`` is ``table.column``, or the table for a whole row."""
        self._counts[rule, place] += amount
        examples = self._examples.setdefault((rule, place), [])
        if len(examples) < EXAMPLES:
            examples.append({"id": owner, "archive": before, "target": after})

    def to_json(self) -> list[dict[str, Any]]:
        """Return an entry for each rule and place."""
        return [
            {"rule": str(rule), "place": place, "count": count, "examples": self._examples[rule, place]}
            for (rule, place), count in sorted(self._counts.items())
        ]
