"""One JSON object as mlflow-export-import writes it: with texts for people beside some fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlflow_archive.sources.reading.fields import Fields, ValueMalformedError, integer_of, shown


class ToolFields(Fields):
    """One JSON object. Names that start with ``_`` repeat other fields, for people."""

    __slots__ = ()

    def time(self, *names: str) -> int | None:
        """Return milliseconds since the epoch; to the second where only the text for people is there."""
        return self._first((*names, *(f"_{name}" for name in names)), time_of)

    def _is_nothing(self, name: str, value: Any) -> bool:
        return name.startswith("_") or value == "None" or super()._is_nothing(name, value)


def time_of(value: Any) -> int:
    """Return milliseconds since the epoch, or those of the text ``2023-05-22 03:18:29``, UTC.

    Raises ValueMalformedError.
    """
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        try:
            return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()) * 1000
        except ValueError:
            raise ValueMalformedError(f"it is {shown(value)}, expected milliseconds since the epoch") from None
    return integer_of(value)
