"""A virtual environment with the newest MLflow that a registry has, made anew where there is a newer one."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.matrix.environments import NEWEST, environment

_PLACE: Final = Path(__file__).parents[2] / ".venv-matrix" / "newest"
_DESCRIBE: Final = Path(__file__).with_name("describe.py")
_PIP: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An MLflow as ``describe`` prints it: ``columns`` by table, ``accounts`` the tables of its log-in."""

    version: str
    columns: dict[str, list[str]]
    revisions: list[str]
    accounts: list[str]
    routes: list[str]


def newest() -> Described:
    """Install the newest MLflow over what the newest of the matrix has, and describe it.

    Its dependencies are left out: they need not be to be had on the day of a release. Where it does not start for want
    of one, CalledProcessError says which.
    """
    python = environment(NEWEST)
    folder = os.fspath(_PLACE)
    subprocess.run([python, *_PIP, "--no-deps", "--upgrade", "--target", folder, "mlflow"], check=True)
    return describe(python, PYTHONPATH=folder)


def describe(python: str, **settings: str) -> Described:
    """Describe the MLflow of an interpreter."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    done = subprocess.run(
        [python, "-W", "ignore", os.fspath(_DESCRIBE)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **quiet, **settings},
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Described(**told)
