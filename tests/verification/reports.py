"""What is said of each vector, whole: ``python -m tests.verification.reports`` writes it to ``reports.json``.

Read the difference before it is committed: it is what users are told of damage.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level
from mlflow_archive.verification.taken import check_taken
from tests.spec.make_vectors import VECTORS

REPORTS: Final = Path(__file__).with_name("reports.json")

_OF_LIBRARIES: Final = re.compile(r"(not JSON: |no zstd frame: |does not decompress: |cannot be read: |damaged: ).*")
"""What other libraries say is theirs to change."""


def report_on(name: str) -> dict[str, Any]:
    """Return what each level of ``verify``, and an import, say of a vector."""
    path = VECTORS / name
    said: dict[str, Any] = {level.value: _verified(path, level) for level in (Level.QUICK, Level.STORED)}
    try:
        report = verify(path, jobs=1).to_json()
        said["full"] = {key: report[key] for key in ("ok", "checked", "lost")}
        said["full"]["problems"] = _verified(path, Level.FULL)
        said["archive_id"] = report["archive_id"]
        with open_archive(path) as archive:
            check_taken(archive, jobs=1)
        said["taken"] = "all of it"
    except MlflowArchiveError as error:
        said["taken" if "full" in said else "full"] = _own(error, path)
    return said


def _verified(path: Path, level: Level) -> list[str]:
    try:
        problems = [problem.to_json() for problem in verify(path, level, jobs=1).problems]
    except MlflowArchiveError as error:
        return [_own(error, path)]
    return [_steady(" | ".join(problem.values()), path) for problem in problems]


def _own(error: MlflowArchiveError, path: Path) -> str:
    return _steady(f"{getattr(error, 'member', None)} | {error}", path)


def _steady(text: str, path: Path) -> str:
    """Return what is said without what differs from place to place and from library to library."""
    return _OF_LIBRARIES.sub(r"\1…", text.replace(str(path), path.name))


def main() -> None:
    """Write what is said now."""
    index: dict[str, Any] = json.loads((VECTORS / "vectors.json").read_text("utf-8"))
    reports = {name: report_on(name) for name in sorted(index)}
    REPORTS.write_text(json.dumps(reports, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
