"""Which source issues are in the target already, by tags of their experiment: an issue has none itself.

``mlflow_archive.issues.1`` and further hold pairs of the source's id and the target's, so that an issue is found that
somebody has renamed since. MLflow deletes no issues.
"""

from __future__ import annotations

import re
from threading import Lock
from typing import Final

from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.places.experiments import tags_of_experiment

ISSUES: Final = OWN_PREFIX + "issues."
"""Start of the key of such a tag; then comes a number from 1. The value is ``SOURCE=TARGET`` with spaces between."""

_PLAIN: Final = re.compile(r"[^\s=]+")


class IssueIndex:
    """The known issues of one experiment of the target. Usable by several threads."""

    def __init__(self, context: ReplayContext, experiment_id: str) -> None:
        self._context = context
        self._experiment_id = experiment_id
        self._lock = Lock()
        tags = tags_of_experiment(context.api, experiment_id)
        self._texts = {key: value for key, value in tags.items() if key.startswith(ISSUES)}
        texts = [self._texts[key] for key in sorted(self._texts, key=lambda key: (len(key), key))]
        pairs = [pair.partition("=") for text in texts for pair in text.split()]
        self._known = {source_id: target_id for source_id, _, target_id in pairs}
        self._changed: set[str] = set()

    def lookup(self, source_id: str) -> str | None:
        """Return the target's id of a source issue, None where no import left it."""
        return self._known.get(source_id)

    def targets(self) -> set[str]:
        """Return the ids of all issues of the target that are a source issue's."""
        return set(self._known.values())

    def add(self, source_id: str, target_id: str) -> None:
        """Take an issue that was made, or found by what it is, for ``save``."""
        if not _PLAIN.fullmatch(source_id):
            return  # MLflow gave it no such id, and it would end the pair
        with self._lock:
            self._known[source_id] = target_id
            pair = f"{source_id}={target_id}"
            key = f"{ISSUES}{max(len(self._texts), 1)}"
            text = f"{self._texts.get(key, '')} {pair}".strip()
            if len(text) > self._context.options.limits.experiment_tag:
                key, text = f"{ISSUES}{len(self._texts) + 1}", pair
            self._texts[key] = text
            self._changed.add(key)

    def save(self) -> None:
        """Write the tags that have changed. Until then an import that is cut off finds issues by what they are."""
        with self._lock:
            for key in sorted(self._changed):
                self._context.target.set_experiment_tag(self._experiment_id, key, self._texts[key])
            self._changed.clear()
