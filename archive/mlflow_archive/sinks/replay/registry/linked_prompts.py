"""Tags that name versions of prompts, written again where these have got other numbers since: all prompts are there.

Runs, logged models and traces come before the registry. What they name of a prompt that is appended to one of the
target has its number only now.
"""

from __future__ import annotations

from urllib.parse import quote

from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import shorten
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.target.target import entries_of
from mlflow_archive.sinks.replay.writing.references import LINKED_PROMPTS
from mlflow_archive.sinks.replay.writing.waiting import LinkedPrompts


class LinkedPromptWriter:
    """Writes what waits in ``ReplayContext.linked``."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def finish(self) -> None:
        """Write the tags that are other now."""
        for (kind, source_id), linked in self._context.linked.pop_all():
            tags = self._context.linked_prompts({LINKED_PROMPTS: linked.value}, linked.experiment_id)
            value = tags[LINKED_PROMPTS] or ""
            if value != linked.written:
                with self._context.refusing(kind, source_id, refusals.TAG_REFUSED, LINKED_PROMPTS):
                    self._write(kind, value, linked)

    def _write(self, kind: str, value: str, linked: LinkedPrompts) -> None:
        context, limits, target_id = self._context, self._context.options.limits, linked.target_id
        if kind == RUN:
            context.runs.make_writable(linked.bound, target_id)
            tags = {LINKED_PROMPTS: shorten(value, limits.tag)}
            context.target.log_batch(target_id, metrics=(), params=(), tags=tags)
            return
        context.experiments.make_writable(linked.bound)
        if kind == LOGGED_MODEL:
            path = f"/api/2.0/mlflow/logged-models/{target_id}/tags"
            context.api.patch(path, {"tags": entries_of({LINKED_PROMPTS: value})})
        else:
            path = f"/api/3.0/mlflow/traces/{quote(target_id, safe='')}/tags"
            context.api.patch(path, {"key": LINKED_PROMPTS, "value": shorten(value, limits.trace_tag)})
