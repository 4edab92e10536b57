"""What a replay reports of what it did."""

from __future__ import annotations

from mlflow_archive.format.refusals import KIND_REFUSED
from mlflow_archive.sinks.replay.writing.receipt import Receipt


def test_a_kind_that_the_target_does_not_know_is_one_refusal_however_often_the_report_is_made() -> None:
    """Sinks of several workspaces share a receipt, and each of them reports."""
    receipt = Receipt("http://nowhere", dry_run=False)
    for kind in ("trace", "trace", "issue"):
        receipt.unknown(kind)
    first, second = receipt.report(), receipt.report()
    assert first == second
    assert [(gap.owner_kind, gap.code, gap.reason.partition(":")[0]) for gap in second.gaps] == [
        ("issue", KIND_REFUSED, "1 issue"),
        ("trace", KIND_REFUSED, "2 traces"),
    ]
    assert second.counts["traces"] == 2
