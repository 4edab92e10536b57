"""The guide says of every scheme that MLflow registers whether artifacts are read there, or what to do instead."""

from __future__ import annotations

import re
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories

from mlflow_archive.artifact_roots import ArtifactRoots

GUIDE = Path(__file__).parents[2] / "docs" / "servers.md"


def rows() -> dict[str, tuple[str, ...]]:
    """Return the cells of each row of the table of places by scheme; a place without one is the empty text."""
    section = GUIDE.read_text("utf-8").partition("## Places of artifacts")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    schemes = [(re.findall(r"`([a-z0-9-]*):[^`]*`", cells[0]) or [""], cells[1:]) for cells in lines[2:]]
    return {scheme: tuple(cells) for names, cells in schemes for scheme in names}


def test_every_scheme_of_mlflow_has_a_row() -> None:
    registered = set(get_registered_artifact_repositories()) - {"mlflow-archive"}
    assert len(registered) == 18
    assert registered - rows().keys() == set()


def test_what_is_said_to_be_read_is_read() -> None:
    known = set(ArtifactRoots()._stores) | {"", "file"}
    said = {scheme for scheme, cells in rows().items() if cells[0].startswith(("read", "from"))}
    assert said == known | {"mlflow-artifacts"}
