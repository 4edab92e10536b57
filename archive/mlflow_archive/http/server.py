"""Is there an MLflow server, and which one?"""

from __future__ import annotations

import re

from mlflow_archive.errors import ServerError
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.http.session import TrackingSession

_WHOLE_VERSION = re.compile(r"\d+\.\d+\.\d+[\w.+-]*")
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")


def probe(session: TrackingSession) -> str | None:
    """Check that an MLflow server answers and return its version, None where it does not show it.

    Raises ServerError where nobody answers, where it is not an MLflow server, or where it refuses us.
    """
    answer = session.post("/api/2.0/mlflow/experiments/search", {"max_results": 1, "view_type": "ALL"})
    if not isinstance(answer, dict) or not isinstance(answer.get("experiments", []), list):
        raise ServerError(f"{session.uri} is not an MLflow server: its list of experiments has another shape")
    try:
        text = session.text("/version", _WHOLE_VERSION)
    except ServerError as exc:
        check_answered(exc)
        return None  # servers before 1.x, and some proxies, have no such page
    return text if _VERSION.fullmatch(text) else None
