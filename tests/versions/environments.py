"""Virtual environments with the lowest and with the newest release of everything that the project may require.

uv resolves and installs, as pip cannot take the lowest; where it is not there, it gets an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

RESOLUTIONS: Final = {"lowest": "lowest-direct", "newest": "highest"}
_ROOT: Final = Path(__file__).parents[2]
_PLACE: Final = _ROOT / ".venv-versions"


def environment(name: str) -> Path:
    """Return the folder of commands of an environment, ``lowest`` or ``newest``, made anew where it is another now."""
    folder, pins = _PLACE / name, _PLACE / f"{name}.txt"
    stamp, commands = folder / "requirements.txt", folder / "bin"
    uv = _uv()
    project = os.fspath(_ROOT / "pyproject.toml")
    resolving = ["--quiet", "--resolution", RESOLUTIONS[name], "--extra", "all", "--python", sys.executable]
    _run(uv, "pip", "compile", "--no-header", "--upgrade", *resolving, "-o", os.fspath(pins), project)
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
