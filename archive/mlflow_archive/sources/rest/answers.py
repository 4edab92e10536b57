"""What an answer of a server holds beside what is asked for: a later MLflow may say more than this version knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sources.reading.fields import NOTHING, printable
from mlflow_archive.sources.reading.unknown_fields import UnknownFields

NEXT: Final = "next_page_token"

_ANSWER: Final = "answer"
"""What stands before the names of such fields; those of objects have none, or a part of the object."""


class Asker(Protocol):
    """What asks a server, and counts the fields that this version does not know."""

    @property
    def session(self) -> TrackingSession: ...

    @property
    def unknown(self) -> UnknownFields: ...


def note_unread(asker: Asker, kind: str, path: str, answer: Mapping[str, Any], *known: str) -> None:
    """Count the fields of an answer about a kind that hold something and are not ``known``."""
    asker.unknown.add(kind, "", unread_beside(answer, *known), example=f"the answer of {path}")


def unread_beside(answer: Mapping[str, Any], *known: str) -> list[str]:
    """Return the fields of an answer that hold something and are not ``known``."""
    return [f"{_ANSWER}/{printable(name)}" for name in answer.keys() - known if answer[name] not in NOTHING]
