"""What documents say is part of an export, or could not be exported: either must be there or become a gap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow_archive.kinds import EVALUATION_DATASET, EXPERIMENT, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.sources.exim import layout as names
from mlflow_archive.sources.exim.documents import Document
from mlflow_archive.sources.exim.entries import model_entry

_TOOL: Final = "mlflow-export-import"
_BY_EXPERIMENT: Final = {
    names.LOGGED_MODEL_LIST: (LOGGED_MODEL, "logged_models"),
    names.TRACE_LIST: (TRACE, "traces"),
}
"""Lists of objects by experiment: what they list, and in which field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An object that is declared by the document ``document``; ``reason`` is why it is a gap if it is missing.

    ``name`` is that of an experiment; ``path`` that of the gap. With ``failed_part`` something of the object is
    missing, so that it is a gap even if the object itself is there.
    """

    kind: str
    object_id: str
    reason: str
    document: Path
    path: str = ""
    name: str = ""
    failed_part: bool = False


def declared_by_object(document: Document) -> Iterator[Declared]:
    """Yield what the document of an experiment or a registered model declares."""
    if document.path.name == names.EXPERIMENT_FILE:
        yield from _listed(document, RUN, document.body.get("runs"))
        yield from _failed(document, RUN, document.info.get("failed_runs"))
        yield from _listed(document, LOGGED_MODEL, document.body.get("logged_models"))
        yield from _listed(document, TRACE, document.body.get("traces"))
    elif document.path.name in (names.MODEL_FILE, names.VERSION_FILE):
        yield from _by_model(document)


def declared_by_list(document: Document) -> Iterator[Declared]:
    """Yield what a list of exported objects declares."""
    body, info, name = document.body, document.info, document.path.name
    if name == names.EXPERIMENT_LIST:
        for experiment in _mappings(body.get("experiments")):
            yield from _listed(document, EXPERIMENT, [experiment.get("id")], str(experiment.get("name") or ""))
    elif name == names.MODEL_LIST:
        yield from _listed(document, REGISTERED_MODEL, body.get("models"))
        yield from _failed(document, REGISTERED_MODEL, info.get("failed_models"))
    elif name in _BY_EXPERIMENT:
        kind, field = _BY_EXPERIMENT[name]
        for experiment in _mappings(body.get("experiments")):
            yield from _listed(document, kind, experiment.get(field))
        yield from _failed(document, kind, info.get(f"failed_{field}"))
    else:
        kind = REGISTERED_MODEL if name == names.PROMPT_LIST else EVALUATION_DATASET
        yield from _listed(document, kind, [dataset.get("dataset_id") for dataset in _mappings(body.get("datasets"))])
        yield from _failures(document, kind)


def _by_model(document: Document) -> Iterator[Declared]:
    entry = model_entry(document)
    for version in entry.versions:
        stands = f"version {version.number} of the registered model {entry.name} stands on it"
        for kind, object_id in ((RUN, version.run_id), (LOGGED_MODEL, version.model_id)):
            if object_id:
                reason = f"{stands}, but there is no document of it in this folder"
                yield Declared(kind=kind, object_id=object_id, reason=reason, document=document.path)


def _listed(document: Document, kind: str, ids: Any, name: str = "") -> Iterator[Declared]:
    noun = kind.replace("_", " ")
    reason = f"{document.place} lists it, but there is no document of this {noun} in this folder"
    for object_id in _texts(ids):
        yield Declared(kind=kind, object_id=object_id, reason=reason, name=name, document=document.path)


def _failed(document: Document, kind: str, ids: Any) -> Iterator[Declared]:
    reason = f"{_TOOL} could not export it, as {document.place} says"
    for object_id in _texts(ids):
        yield Declared(kind=kind, object_id=object_id, reason=reason, document=document.path)


def _failures(document: Document, kind: str) -> Iterator[Declared]:
    number = document.body.get("failed_exports")
    if isinstance(number, int) and number > 0:
        yield Declared(
            kind=kind,
            object_id="",
            reason=f"{_TOOL} could not export {number} of them, as {document.place} says without naming them",
            document=document.path,
            path=document.place,
            failed_part=True,
        )


def _mappings(content: Any) -> Iterator[Mapping[str, Any]]:
    yield from (item for item in content if isinstance(item, Mapping)) if isinstance(content, list) else ()


def _texts(content: Any) -> Iterator[str]:
    yield from (item for item in content if isinstance(item, str) and item) if isinstance(content, list) else ()
