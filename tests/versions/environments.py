"""Virtual environments with the lowest and with the newest release of everything that the project may require.

What MLflow requires has upper bounds, so the newest of the rest is tried without it, too.
uv resolves and installs, as pip cannot take the lowest; where it is not there, it gets an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_WITHOUT_MLFLOW: Final = (
    *("postgresql", "mysql", "sql", "pandas", "plot", "s3", "gs", "azure", "sftp"),
    *("cloud", "sigv4", "road", "timestamp"),
)
ENVIRONMENTS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "lowest": ("lowest-direct", ["all"]),
    "newest": ("highest", ["all"]),
    "newest-without-mlflow": ("highest", _WITHOUT_MLFLOW),
}
"""How versions are chosen, and for which extras."""
_ROOT: Final = Path(__file__).parents[2]
_PLACE: Final = _ROOT / ".venv-versions"


def environment(name: str) -> Path:
    """Return the folder of commands of one of ENVIRONMENTS, made anew where other releases are it now."""
    folder, pins = _PLACE / name, _PLACE / f"{name}.txt"
    stamp, commands = folder / "requirements.txt", folder / "bin"
    uv = _uv()
    project = os.fspath(_ROOT / "pyproject.toml")
    resolution, extras = ENVIRONMENTS[name]
    resolving = ["--quiet", "--resolution", resolution, "--python", sys.executable]
    wanted = [word for extra in extras for word in ("--extra", extra)]
    _run(uv, "pip", "compile", "--no-header", "--upgrade", *resolving, *wanted, "-o", os.fspath(pins), project)
    if not stamp.exists() or stamp.read_text("utf-8") != pins.read_text("utf-8"):
        shutil.rmtree(folder, ignore_errors=True)
        _run(uv, "venv", "--quiet", "--python", sys.executable, os.fspath(folder))
        _run(uv, "pip", "install", "--quiet", "--python", _python(folder), "-r", os.fspath(pins))
        shutil.copyfile(pins, stamp)
    own = ["--no-deps", "--reinstall-package", "mlflow-archive", os.fspath(_ROOT)]
    _run(uv, "pip", "install", "--quiet", "--python", _python(folder), *own)
    return commands


def _uv() -> str:
    if there := shutil.which("uv"):
        return there
    folder = _PLACE / "uv"
    if not (folder / "bin" / "uv").exists():
        _run(sys.executable, "-m", "venv", os.fspath(folder))
        _run(_python(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
    return os.fspath(folder / "bin" / "uv")


def _python(folder: Path) -> str:
    return os.fspath(folder / "bin" / "python")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
