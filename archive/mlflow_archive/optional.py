"""Packages that are not always installed. What is missing is told in one way, with the extra that brings it."""

from __future__ import annotations

import importlib
import sys
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


def start_arrow_alone() -> None:
    """Let pyarrow begin as if neither numpy nor pandas were there: with its first array it imports both.

    What MLflow needs of them, a filter or a plugin for credentials, imports them later all the same. Does nothing where
    one of the three is there already.
    """
    left_out = [name for name in ("numpy", "pandas") if name not in sys.modules]
    if len(left_out) < 2 or "pyarrow" in sys.modules:
        return
    sys.modules |= dict.fromkeys(left_out)  # type: ignore[arg-type]
    try:
        for module in ("pyarrow.compute", "pyarrow.parquet"):
            importlib.import_module(module)
        sys.modules["pyarrow"].array([])
    finally:
        for name in left_out:
            del sys.modules[name]
