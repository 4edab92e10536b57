"""Who signed what, in sentences: ``verify`` and ``sign`` say it in the same words."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow_archive.reader.inspection.rows import Moment
from mlflow_archive.signing.report import SignatureRecord, SignatureReport, TokenRecord


def signed_by(report: SignatureReport) -> Iterator[str]:
    """Yield a sentence for each accepted signature, by export; of the newest export also where it has none."""
    for record in report.records:
        if record.accepted:
            newest = ", which covers all of the archive" if record.export == report.newest_export else ""
            yield f"export {record.export} is signed by {record.signer}{_when(record)}{newest} ({_key(record)})"
    if not report.newest_signed:
        yield f"export {report.newest_export} is not signed by anyone who is allowed to"


def _key(record: SignatureRecord) -> str:
    return f"{record.key_type} {record.fingerprint}"


def _when(record: SignatureRecord) -> str:
    oldest = min((token for token in record.tokens if token.time_ms is not None), key=_time, default=None)
    if oldest is None:
        return ""
    return f" before {Moment(_time(oldest)).plain()} UTC, as {oldest.authority} says"


def _time(token: TokenRecord) -> int:
    return token.time_ms or 0
