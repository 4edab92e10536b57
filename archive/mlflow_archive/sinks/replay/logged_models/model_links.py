"""Which runs used and made which logged models: rows of runs that can be written once the models are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.writing.failures import check_one_item, once
from mlflow_archive.sinks.replay.writing.waiting import MODEL_INPUTS, MODEL_OUTPUTS, ModelLink

_API: Final = "/api/2.0/mlflow/"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedModel:
    """A logged model that is in the target; a ``new`` one has no links yet."""

    source_id: str
    target_id: str
    new: bool


class ModelLinker:
    """Writes links of runs to models. Usable by several threads."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def write(self, models: Iterable[LinkedModel]) -> set[str]:
        """Write what the target lacks of the links of models; return the source ids of those that got some."""
        targets = {model.source_id: model for model in models}
        by_run: dict[str, list[ModelLink]] = {}
        for source_id in targets:
            for link in self._context.waiting.links.pop(source_id):
                by_run.setdefault(link.run_id, []).append(link)
        linked: set[str] = set()
        for run_id, links in by_run.items():
            try:
                linked |= self._write_run(run_id, links, targets)
            except (ItemError, ServerError) as exc:
                check_one_item(exc)
                self._refuse(run_id, links, str(exc))
        return linked

    def _write_run(self, run_id: str, links: list[ModelLink], targets: dict[str, LinkedModel]) -> set[str]:
        ids = self._context.receipt.ids(RUN)
        target_run = ids.get(run_id)
        if target_run is None:
            if run_id not in ids:
                self._context.receipt.changed("model_links_without_run", len(links))
            return set()
        self._context.receipt.changed(
            "model_input_steps", sum(link.table == MODEL_INPUTS and link.step != 0 for link in links)
        )
        if not all(targets[link.model_id].new for link in links):
            existing = self._existing(target_run)
            links = [link for link in links if (link.table, targets[link.model_id].target_id) not in existing]
        if not links or self._context.options.dry_run:
            return {link.model_id for link in links}
        self._context.runs.make_writable(self._context.experiment(links[0].experiment_id), target_run)
        for table, send in ((MODEL_INPUTS, self._send_inputs), (MODEL_OUTPUTS, self._send_outputs)):
            of_table = [link for link in links if link.table == table]
            if of_table:
                send(target_run, [(targets[link.model_id].target_id, link.step) for link in of_table])
        return {link.model_id for link in links}

    def _existing(self, target_run: str) -> set[tuple[str, str]]:
        run = self._context.api.get(_API + "runs/get", {"run_id": target_run})["run"]
        return {
            (table, model["model_id"])
            for table, part in ((MODEL_INPUTS, "inputs"), (MODEL_OUTPUTS, "outputs"))
            for model in run.get(part, {}).get(table, [])
        }

    def _send_inputs(self, target_run: str, models: Sequence[tuple[str, int]]) -> None:
        body = {"run_id": target_run, "models": [{"model_id": model_id} for model_id, _ in models]}
        self._context.api.post(_API + "runs/log-inputs", body)

    def _send_outputs(self, target_run: str, models: Sequence[tuple[str, int]]) -> None:
        """Send outputs; MLflow refuses one that it has, so after any failure only those are sent that it has not."""
        missing = list(models)

        def send() -> bool:
            self._post_outputs(target_run, missing)
            return True

        def look() -> bool | None:
            existing = self._existing(target_run)
            missing[:] = [model for model in models if (MODEL_OUTPUTS, model[0]) not in existing]
            return None if missing else True

        try:
            once(send, look)
        except ServerError:
            if look() is None and len(missing) == len(models):
                raise
            if missing:
                once(send, look)

    def _post_outputs(self, target_run: str, models: Sequence[tuple[str, int]]) -> None:
        entries: list[dict[str, Any]] = [{"model_id": model_id, "step": step} for model_id, step in models]
        self._context.api.post(_API + "runs/outputs", {"run_id": target_run, "models": entries}, idempotent=False)

    def _refuse(self, run_id: str, links: Iterable[ModelLink], reason: str) -> None:
        for link, number in Counter((link.table, link.model_id) for link in links).items():
            verb = "made" if link[0] == MODEL_OUTPUTS else "used"
            sentence = f"run {run_id} {verb} it ({number}): {reason}"
            self._context.receipt.refuse(LOGGED_MODEL, link[1], run_id, refusals.MODEL_LINK_REFUSED, sentence)
