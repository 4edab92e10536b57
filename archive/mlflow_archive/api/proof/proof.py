"""The door to a proof: from paths and URIs to its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mlflow_archive.api.as_archive import as_archive
from mlflow_archive.api.differences import ObjectChange
from mlflow_archive.api.proof.evidence import Proof, archive_facts, proof_of, target_facts
from mlflow_archive.api.proof.proving import Proving
from mlflow_archive.api.receipts import ReceiptPlace, read_receipts
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.asked import asked_options, asked_selection


def _tell_nobody(change: ObjectChange) -> None: ...


def prove(  # noqa: PLR0913 - each is an option of the command
    before: str,
    after: str,
    *,
    receipt: ReceiptPlace | Sequence[ReceiptPlace] | None,
    artifacts: bool,
    jobs: int,
    progress: Progress,
    at: AskedAt | None = None,
    tell: Callable[[ObjectChange], None] = _tell_nobody,
) -> Proof:
    """Compare an archive, as it is or was, with the server it was imported into; ``tell`` hears each difference.

    Options and selection of the import are those of its receipt. Raises what ``diff`` raises; SelectionError where the
    receipt is not one of an import of this archive.
    """
    begun = Moment(time.time_ns() // 1_000_000).iso()
    with open_archive(before, at=at) as archive:
        document = read_receipts(receipt, archive)
        selection = asked_selection(document.get("selection", {}))
        artifacts = artifacts and selection.artifacts
        with as_archive(
            after, selection=Selection(artifacts=artifacts), jobs=jobs, progress=progress, gaps=True
        ) as target:
            options = asked_options(document.get("options", {}))
            proving = Proving(archive, target, receipt=document, options=options, artifacts=artifacts)
            changes = []
            for change in proving.changes(selection, progress):
                tell(change)
                changes.append(change)
            facts = {
                "begun": begun,
                "ended": Moment(time.time_ns() // 1_000_000).iso(),
                "archive": archive_facts(archive, before),
                "target": target_facts(target, after),
                "receipt": {name: document[name] for name in ("archive_id", "target", "state") if name in document},
                "selection": document.get("selection", {}),
                "artifacts": artifacts,
            }
            return proof_of(tuple(changes), proving.findings, facts)
