"""Where the documents of an exported folder lie; names of files only, no content.

experiments/<experiment id>/experiment.json       or alone, beside its runs
    runs/<run id>/run.json                        until 2025 without `runs/`
        artifacts/…
    logged_models/<model id>/logged_model.json, artifacts/…
    traces/<trace id>/trace.json, artifacts/…
models/<name>/model.json, <run id>/run.json, <model id>/logged_model.json, version_models/<version>/…
version.json, model.json, experiment.json, run/run.json, version_model/…     one version
prompts/<name>_v<version>/prompt.json
evaluation_datasets/<name>_<id>/evaluation_dataset.json
experiments.json, models.json, logged_models.json, traces.json, …            lists of what was exported
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RUN_FILE: Final = "run.json"
EXPERIMENT_FILE: Final = "experiment.json"
MODEL_FILE: Final = "model.json"
VERSION_FILE: Final = "version.json"
LOGGED_MODEL_FILE: Final = "logged_model.json"
TRACE_FILE: Final = "trace.json"
PROMPT_FILE: Final = "prompt.json"
DATASET_FILE: Final = "evaluation_dataset.json"
OBJECT_FILES: Final = (
    EXPERIMENT_FILE,
    RUN_FILE,
    LOGGED_MODEL_FILE,
    TRACE_FILE,
    MODEL_FILE,
    VERSION_FILE,
    PROMPT_FILE,
    DATASET_FILE,
)

EXPERIMENT_LIST: Final = "experiments.json"
MODEL_LIST: Final = "models.json"
LOGGED_MODEL_LIST: Final = "logged_models.json"
TRACE_LIST: Final = "traces.json"
PROMPT_LIST: Final = "prompts_summary.json"
DATASET_LIST: Final = "evaluation_datasets_summary.json"
LIST_FILES: Final = (EXPERIMENT_LIST, MODEL_LIST, LOGGED_MODEL_LIST, TRACE_LIST, PROMPT_LIST, DATASET_LIST)
_ADDS_NOTHING: Final = "manifest.json"

ARTIFACTS: Final = "artifacts"
VERSION_MODELS: Final = "version_models"
VERSION_MODEL: Final = "version_model"
_LITTER: Final = frozenset({".ipynb_checkpoints", ".git"})


@dataclass(slots=True)
class Layout:
    """What lies in a folder: paths of documents by file name, in the order of their places; and what was not followed.

    ``strays`` are artifact folders without a document that says whose they are, ``unknown`` other JSON files.
    """

    documents: dict[str, list[Path]] = field(default_factory=dict)
    strays: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    unlisted: list[tuple[Path, str]] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Add a file, if it may be a document."""
        if path.name in OBJECT_FILES or path.name in LIST_FILES:
            self.documents.setdefault(path.name, []).append(path)
        elif path.name.endswith(".json") and path.name != _ADDS_NOTHING:
            self.unknown.append(path)

    def of(self, name: str) -> list[Path]:
        """Return the documents with that file name."""
        return self.documents.get(name, [])

    def objects(self) -> Iterator[Path]:
        """Yield the documents of objects."""
        for name in OBJECT_FILES:
            yield from self.of(name)


def looks_exported(folder: Path) -> bool:
    """Return whether a folder is the outermost or an inner one of an export, by the names of its files."""
    names = (*OBJECT_FILES, *LIST_FILES)
    places = (folder, folder / "experiments", folder / "models", folder / "prompts", folder / "evaluation_datasets")
    return any((place / name).is_file() for place in places for name in names)


def find_documents(root: Path) -> Layout:
    """Walk a folder. Files of artifacts are not looked at, whatever their names; links to folders are not followed."""
    layout = Layout()

    def cannot_list(error: OSError) -> None:
        layout.unlisted.append((Path(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(root, onerror=cannot_list):
        folder = Path(parent)
        for name in sorted(names):
            layout.add(folder / name)
        links = [name for name in sorted(folders) if (folder / name).is_symlink()]
        layout.links += [folder / name for name in links]
        inner = sorted({*folders} - {*links} - _LITTER)
        folders[:] = [name for name in inner if not _is_content(folder, name, set(names), layout)]
    for paths in layout.documents.values():
        paths.sort()
    return layout


def _is_content(folder: Path, name: str, names: set[str], layout: Layout) -> bool:
    """Return whether a folder holds files of an object and not further objects."""
    if LOGGED_MODEL_FILE in names or TRACE_FILE in names:
        return RUN_FILE not in names or name == ARTIFACTS
    if RUN_FILE in names:
        return name == ARTIFACTS
    if (MODEL_FILE in names and name == VERSION_MODELS) or (VERSION_FILE in names and name == VERSION_MODEL):
        return True
    if name != ARTIFACTS or any((folder / name / document).is_file() for document in OBJECT_FILES):
        return False  # a model may be named so
    layout.strays.append(folder / name)
    return True
