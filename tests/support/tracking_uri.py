"""MLflow's client pointed at a store, and back: its tracking URI is one for the process and all that it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tracking_to(uri: str) -> Iterator[None]:
    """Set the tracking URI; at the end it is what it was, or not set."""
    import mlflow  # noqa: PLC0415 - takes seconds

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
