"""The part of the report that says who signed the archive, and when."""

from __future__ import annotations

from mlflow_archive.api.report.markup import table, text
from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.signing.report import SignatureRecord, SignatureReport

_ANSWERS = {True: "accepted", False: "NOT ACCEPTED", None: "not checked against allowed signers"}


def signatures_part(report: SignatureReport) -> str:
    """Return all signatures beside the archive as a table, with what is wrong; nothing where there are none."""
    if not report.records and not report.problems:
        return ""
    rows = [
        {
            "export": record.export,
            "signer": record.signer,
            "key": f"{record.key_type} {record.fingerprint}",
            "signature": _ANSWERS[record.accepted],
            "time-stamped before (UTC)": _time(record),
            "by": ", ".join(dict.fromkeys(token.authority for token in record.tokens if token.authority)),
            "file": record.file,
        }
        for record in report.records
    ]
    problems = [{"code": p.code, "file": p.member, "problem": p.message} for p in report.problems]
    return f'<h3 id="signatures">Signatures</h3>{_verdict(report)}{table(rows)}{table(problems)}'


def _verdict(report: SignatureReport) -> str:
    if all(record.accepted is None for record in report.records) and report.ok:
        return "<p>Not checked against allowed signers: a name below is that of a file, and proves nothing.</p>"
    if not report.ok:
        return '<p class="bad">Signatures are not accepted.</p>'
    newest = "covers all of the archive" if report.newest_signed else "does not cover the newest export"
    return f'<p class="good">{text(f"What is signed is accepted, and {newest}.")}</p>'


def _time(record: SignatureRecord) -> str:
    if record.time_ms is not None:
        return Moment(record.time_ms).plain()
    return "not checked" if record.tokens else ""
