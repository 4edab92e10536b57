"""Virtual environments of other MLflow versions, made once by pip from ``requirements/`` beside this file.

What a version's file ``….alone.txt`` names comes after that and without its dependencies: a release whose parts are not
all to be had stands on those of the one before.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

VERSIONS: Final = ("2.9", "2.22", "3.1", "3.17", "3.18")
NEWEST: Final = VERSIONS[-1]
_REQUIREMENTS: Final = Path(__file__).parent / "requirements"
_PLACE: Final = Path(__file__).parents[2] / ".venv-matrix"


def environment(version: str) -> str:
    """Return the interpreter of the environment of a version; make it first where it is not there, or other pins are.

    MLflow 2.9 has no wheels of what it needs for a Python after 3.11.
    """
    files = [path for name in (f"{version}.txt", f"{version}.alone.txt") if (path := _REQUIREMENTS / name).exists()]
    pins = "".join(path.read_text("utf-8") for path in files)
    folder, stamp = _PLACE / version, _PLACE / version / "requirements.txt"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text("utf-8") != pins:
        shutil.rmtree(folder, ignore_errors=True)
        base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
        if base is None:
            message = "the matrix of MLflow versions needs python3.11"
            raise RuntimeError(message)
        subprocess.run([base, "-m", "venv", folder], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for path in files:
            alone = ["--no-deps"] if path.name.endswith(".alone.txt") else []
            subprocess.run([*pip, *alone, "-r", str(path)], check=True)
        stamp.write_text(pins, "utf-8")
    return str(python)
