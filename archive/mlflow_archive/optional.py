"""Packages that are not always installed. What is missing is told in one way, with the extra that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from mlflow_archive.errors import MissingExtraError

_OURS = "mlflow_archive"


@contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Import in this block what an extra of this project brings; ``purpose`` is what cannot be done without it.

    Raises MissingExtraError where it is not installed.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == _OURS:
            raise
        raise missing(extra, purpose, error) from error


def missing(extra: str, purpose: str, error: object) -> MissingExtraError:
    """Return what is raised where something cannot be done for want of an extra."""
    return MissingExtraError(f"{purpose} needs more packages: {install(extra)} ({error})")


def install(extra: str) -> str:
    """Return the command that brings an extra.

    >>> install("sql")
    "pip install 'mlflow-archive[sql]'"
    """
    return f"pip install 'mlflow-archive[{extra}]'"


def mlflow_version() -> str | None:
    """Return the version of the installed MLflow, None where there is none; it is not imported."""
    for name in ("mlflow-skinny", "mlflow"):  # before 2.13 the second did not bring the first
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
