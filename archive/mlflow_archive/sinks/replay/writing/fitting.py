"""Texts and tags of any object, cut to what MLflow takes, with a note on everything that changes.

Pure but for the receipt, so that a second import of the same object arrives at the same values and finds them there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_archive.format.source_tags import left_by_import, shorten, shorten_key
from mlflow_archive.sinks.replay.options import Limits
from mlflow_archive.sinks.replay.writing.receipt import Receipt

_KEY = re.compile(r"[/\w.\- :]*")


def key_is_taken(key: str) -> bool:
    """Return whether MLflow takes a key for a param, a metric or a tag that is set later."""
    normal = posixpath.normpath(key)
    return (
        _KEY.fullmatch(key) is not None
        and normal == key
        and normal != "."
        and not normal.startswith("..")
        and not normal.startswith("/")
    )


@dataclass(frozen=True, slots=True)
class Fitter:
    """Cuts the texts of one object to the target's limits and reports what was cut in the receipt."""

    limits: Limits
    receipt: Receipt
    owner: str

    def text(self, kind: str, key: str, value: str, limit: int) -> str:
        """Return a text of at most ``limit`` characters; ``kind`` and ``key`` say in the receipt which it is."""
        if len(value) > limit:
            self.receipt.shortened(self.owner, kind, key, len(value))
        return shorten(value, limit)

    def key(self, kind: str, key: str, limit: int) -> str:
        """Return a key of at most ``limit`` characters, by a digest different from all others."""
        if len(key) > limit:
            self.receipt.shortened(self.owner, f"{kind} key", key, len(key))
        return shorten_key(key, limit)

    def tags(
        self, kind: str, tags: Mapping[str, str | None], limit: int, key_limit: int | None = None
    ) -> dict[str, str]:
        """Fit tags; a null becomes an empty text, as MLflow's API does not know null."""
        self.receipt.changed("null_tag", sum(value is None for value in tags.values()))
        return {
            self.key(kind, key, key_limit or self.limits.key): self.text(kind, key, value or "", limit)
            for key, value in tags.items()
        }


def plain_tags(tags: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the tags that a run or experiment keeps as they are: all that no import has left."""
    return {key: value for key, value in tags.items() if not left_by_import(key)}
