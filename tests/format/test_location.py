"""No archive states a password that was in a URI."""

from __future__ import annotations

import pytest

from mlflow_archive.format.location import without_password


@pytest.mark.parametrize(
    ("uri", "stated"),
    [
        ("https://ada:secret@example.com/x?y=1", "https://example.com/x?y=1"),
        ("https://example.com/x@y", "https://example.com/x@y"),
        ("abfss://container@account.dfs.core.windows.net/x", "abfss://container@account.dfs.core.windows.net/x"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_user_and_password_are_taken_off(uri: str, stated: str) -> None:
    assert without_password(uri) == stated
