"""Run commands as after ``pip install mlflow-archive``: what its own requirements do not bring cannot be imported.

Reads from stdin what each command is, as JSON, and prints what each gave. Run by a process of its own.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement

_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def core() -> set[str]:
    """Return the names of the distributions that the project requires, and of all that these do."""
    waiting = [Requirement(text) for text in tomllib.loads(_PYPROJECT.read_text("utf-8"))["project"]["dependencies"]]
    names: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = _plain(requirement.name)
        if name not in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            names.add(name)
            waiting += [Requirement(text) for text in metadata.requires(name) or ()]
    return names


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def absent(names: set[str]) -> frozenset[str]:
    """Return the modules that are installed here and would not be with these distributions alone."""
    owners = metadata.packages_distributions()
    ours = {*names, "mlflow-archive", "setuptools"}
    return frozenset(module for module, by in owners.items() if ours.isdisjoint(map(_plain, by)))


class Absent(MetaPathFinder):
    """Finds nothing of some modules, as if they were not installed."""

    def __init__(self, modules: frozenset[str]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in self._modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def hide(modules: frozenset[str]) -> None:
    """Make modules and the distributions that they are of absent from this process."""
    names = core()
    real = metadata.version

    def version(distribution_name: str) -> str:
        if _plain(distribution_name) not in {*names, "mlflow-archive"}:
            raise metadata.PackageNotFoundError(distribution_name)
        return real(distribution_name)

    metadata.version = version
    sys.meta_path.insert(0, Absent(modules))


def answers(commands: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Run commands one after another and return exit code, stdout and stderr of each."""
    from mlflow_archive_cli.main import run  # noqa: PLC0415 - once the others are absent

    given = []
    for command in commands:
        raw, err = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(raw, "utf-8")
        os.environ.update(command.get("environment", {}))
        with redirect_stdout(out), redirect_stderr(err):
            code = run(command["arguments"])
        out.flush()
        given.append({"code": code, "out": raw.getvalue().decode(), "err": err.getvalue()})
        for name in command.get("environment", {}):
            del os.environ[name]
    return given


if __name__ == "__main__":
    hide(absent(core()))
    json.dump(answers(json.load(sys.stdin)), sys.stdout)
