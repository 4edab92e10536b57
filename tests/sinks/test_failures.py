"""What the target refuses because it does not know the request, and what is wrong with an object."""

from __future__ import annotations

import pytest

from mlflow_archive.errors import ItemError, MlflowArchiveError, ServerError
from mlflow_archive.sinks.replay.writing.failures import is_unknown_there


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (ServerError("x", status=404), True),
        (ServerError("x", status=501), True),
        (ServerError("x", status=404, error_code="ENDPOINT_NOT_FOUND"), True),
        (ServerError("x", status=400, error_code="FEATURE_DISABLED"), True),
        (ServerError("x", status=404, error_code="RESOURCE_DOES_NOT_EXIST"), False),
        (ServerError("x", status=501, error_code="INTERNAL_ERROR"), False),
        (ServerError("nobody answers"), False),
        (ItemError("x"), False),
    ],
)
def test_what_the_target_does_not_know(error: MlflowArchiveError, unknown: bool) -> None:
    assert is_unknown_there(error) == unknown
