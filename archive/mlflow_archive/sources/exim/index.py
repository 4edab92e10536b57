"""What an exported folder holds: every object once, with where it lies; and what is declared but missing.

Every document is read once for it and dropped; what an object consists of is read again when its turn comes, so that
memory does not grow with the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.errors import StoreError
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, OBJECT_UNREADABLE, RUN_UNREADABLE
from mlflow_archive.kinds import EVALUATION_DATASET, EXPERIMENT, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.sources.exim import layout as names
from mlflow_archive.sources.exim.copies import DocumentCopies, differing
from mlflow_archive.sources.exim.declared import Declared, declared_by_list, declared_by_object
from mlflow_archive.sources.exim.documents import Document, DocumentUnreadableError, place_of, read_document
from mlflow_archive.sources.exim.entries import (
    DatasetEntry,
    ExperimentEntry,
    LoggedModelEntry,
    ModelEntry,
    RunEntry,
    TraceEntry,
    dataset_entry,
    experiment_entry,
    logged_model_entry,
    model_entry,
    run_entry,
    trace_entry,
)
from mlflow_archive.sources.exim.gapbook import FOLDER, GapBook
from mlflow_archive.sources.exim.layout import Layout, find_documents

_DOCUMENTS: Final[Mapping[str, tuple[str, Callable[[Document], Any], Callable[[Any], str]]]] = {
    names.EXPERIMENT_FILE: (EXPERIMENT, experiment_entry, attrgetter("experiment_id")),
    names.RUN_FILE: (RUN, run_entry, attrgetter("run_id")),
    names.LOGGED_MODEL_FILE: (LOGGED_MODEL, logged_model_entry, attrgetter("model_id")),
    names.TRACE_FILE: (TRACE, trace_entry, attrgetter("trace_id")),
    names.MODEL_FILE: (REGISTERED_MODEL, model_entry, attrgetter("owner_id")),
    names.VERSION_FILE: (REGISTERED_MODEL, model_entry, attrgetter("owner_id")),
    names.PROMPT_FILE: (REGISTERED_MODEL, model_entry, attrgetter("owner_id")),
    names.DATASET_FILE: (EVALUATION_DATASET, dataset_entry, attrgetter("dataset_id")),
}
"""By file name: the kind of object that a document describes, how its entry is read, and the entry's id."""
_CODES: Final = {RUN: RUN_UNREADABLE, EXPERIMENT: EXPERIMENT_UNREADABLE}


@dataclass(slots=True, kw_only=True)
class Index:
    """The objects of a folder by id; of registered models and prompts all documents.

    ``system`` is who wrote the newest document, and when. ``gaps`` holds what cannot be read or is missing.
    """

    root: Path
    experiments: dict[str, ExperimentEntry] = field(default_factory=dict)
    runs: dict[str, RunEntry] = field(default_factory=dict)
    logged_models: dict[str, LoggedModelEntry] = field(default_factory=dict)
    traces: dict[str, TraceEntry] = field(default_factory=dict)
    models: dict[str, tuple[ModelEntry, ...]] = field(default_factory=dict)
    datasets: dict[str, DatasetEntry] = field(default_factory=dict)
    gaps: GapBook = field(default_factory=GapBook)
    system: dict[str, Any] = field(default_factory=dict)
    documents: int = 0

    def of(self, kind: str) -> Mapping[str, object]:
        """Return the objects of a kind by id."""
        by_kind: dict[str, Mapping[str, object]] = {
            EXPERIMENT: self.experiments,
            RUN: self.runs,
            LOGGED_MODEL: self.logged_models,
            TRACE: self.traces,
            EVALUATION_DATASET: self.datasets,
            REGISTERED_MODEL: self.models,
        }
        return by_kind.get(kind, {})


def build_index(root: Path) -> Index:
    """Read the documents of a folder.

    Raises StoreError if there is no folder, or no document of mlflow-export-import in it.
    """
    if not root.is_dir():
        problem = "is no folder" if root.exists() else "does not exist"
        raise StoreError(f"{root} {problem}; expected one that mlflow-export-import wrote")
    layout = find_documents(root)
    builder = _Builder(root)
    builder.read(layout)
    if not builder.index.documents:
        raise StoreError(
            f"{root} holds no document of mlflow-export-import, such as run.json, experiment.json or model.json"
        )
    return builder.finish(layout)


class _Builder:
    def __init__(self, root: Path) -> None:
        self.index = Index(root=root)
        self._copies = {kind: DocumentCopies[Any]() for kind, _, _ in _DOCUMENTS.values()}
        self._declared: list[Declared] = []
        self._broken: list[tuple[Path, str]] = []
        self._folders: dict[Path, str] = {}
        self._newest = -1

    def read(self, layout: Layout) -> None:
        for path in layout.objects():
            try:
                document = read_document(path, self.index.root)
                self._add(document)
            except DocumentUnreadableError as error:
                self._unreadable(path, str(error))
                continue
            self._declared += declared_by_object(document)
            self._note(document)
        for name in names.LIST_FILES:
            for path in layout.of(name):
                try:
                    document = read_document(path, self.index.root)
                except DocumentUnreadableError as error:
                    place = place_of(path, self.index.root)
                    self.index.gaps.add(FOLDER, place, OBJECT_UNREADABLE, f"{error}; it lists what was exported")
                    continue
                self._declared += declared_by_list(document)
                self._note(document)

    def finish(self, layout: Layout) -> Index:
        index = self.index
        index.experiments = self._first_copies(EXPERIMENT)
        index.runs = self._first_copies(RUN)
        for run_id, copies in self._copies[RUN].ranked():
            folders = tuple(dict.fromkeys(folder for copy in copies for folder in copy.entry.artifacts))
            index.runs[run_id] = replace(index.runs[run_id], artifacts=folders)
        index.logged_models = self._first_copies(LOGGED_MODEL)
        index.traces = self._first_copies(TRACE)
        index.datasets = self._first_copies(EVALUATION_DATASET)
        models = self._copies[REGISTERED_MODEL].ranked()
        index.models = {owner: tuple(copy.entry for copy in copies) for owner, copies in models}
        self._report_broken()
        self._check_declared()
        self._add_missing_experiments()
        self._report_strays(layout)
        return index

    def _first_copies(self, kind: str) -> dict[str, Any]:
        """Return the entries that count, by id, and report where other copies differ."""
        entries = {}
        for object_id, ranked in self._copies[kind].ranked():
            entries[object_id] = ranked[0].entry
            for reason in differing(ranked, self.index.root):
                self.index.gaps.add(kind, object_id, _CODES.get(kind, OBJECT_UNREADABLE), reason)
        return entries

    def _add(self, document: Document) -> None:
        kind, entry_of, id_of = _DOCUMENTS[document.path.name]
        entry = entry_of(document)
        if kind == EXPERIMENT:
            self._folders[document.path.parent] = entry.experiment_id
        self._copies[kind].add(id_of(entry), entry, document)

    def _note(self, document: Document) -> None:
        self.index.documents += 1
        if document.export_time > self._newest:
            self._newest = document.export_time
            self.index.system = dict(document.system)

    def _unreadable(self, path: Path, reason: str) -> None:
        self.index.documents += 1
        self._broken.append((path, reason))

    def _report_broken(self) -> None:
        """Report the broken documents with the objects that they describe: as their folders are named.

        That of an experiment is rather the one that the runs beside it state, as its folder may have any name.
        """
        for path, reason in self._broken:
            if path.name == names.EXPERIMENT_FILE:
                beside = {
                    entry.experiment_id
                    for entries in (self.index.runs, self.index.logged_models, self.index.traces)
                    for entry in entries.values()
                    if entry.path.is_relative_to(path.parent)
                }
                experiment_id = beside.pop() if len(beside) == 1 else printable(path.parent.name)
                self._folders[path.parent] = experiment_id
                self.index.gaps.add(EXPERIMENT, experiment_id, EXPERIMENT_UNREADABLE, reason)
        for path, reason in self._broken:
            if path.name != names.EXPERIMENT_FILE:
                kind, owner = _DOCUMENTS[path.name][0], printable(path.parent.name)
                code = _CODES.get(kind, OBJECT_UNREADABLE)
                self.index.gaps.add(kind, owner, code, reason, experiment_id=self._experiment_around(path))

    def _experiment_around(self, path: Path) -> str | None:
        """Return the experiment in whose folder something lies."""
        return next((self._folders[folder] for folder in path.parents if folder in self._folders), None)

    def _check_declared(self) -> None:
        index, by_folder = self.index, self._runs_by_folder()
        for declared in self._declared:
            kind, object_id = declared.kind, declared.object_id
            exists = object_id in index.of(kind)
            if declared.failed_part or not (exists or index.gaps.has(kind, object_id)):
                instead = self._instead(by_folder.get(object_id, ()), declared) if kind == RUN else ()
                code = _CODES.get(kind, OBJECT_UNREADABLE)
                reason = "; ".join((declared.reason, *instead))
                around = self._experiment_around(declared.document)
                index.gaps.add(kind, object_id, code, reason, path=declared.path, experiment_id=around)
            if kind == EXPERIMENT and declared.name and not exists:
                index.experiments[object_id] = ExperimentEntry(experiment_id=object_id, name=declared.name)

    def _instead(self, runs: Iterable[RunEntry], declared: Declared) -> Iterator[str]:
        """Yield a sentence for each run that lies beside a document in a folder of the declared run's name."""
        for run in runs:
            if run.path.is_relative_to(declared.document.parent):
                yield f"{place_of(run.path, self.index.root)} is that of run {run.run_id}"

    def _runs_by_folder(self) -> dict[str, list[RunEntry]]:
        by_folder: dict[str, list[RunEntry]] = {}
        for copies in self._copies[RUN].by_id.values():
            for copy in copies:
                by_folder.setdefault(copy.entry.path.parent.name, []).append(copy.entry)
        return by_folder

    def _add_missing_experiments(self) -> None:
        names_of_runs = self._experiment_names()
        for experiment_id in sorted(set(self._needed())):
            if experiment_id in self.index.experiments:
                continue
            name = names_of_runs.get(experiment_id, experiment_id)
            self.index.experiments[experiment_id] = ExperimentEntry(experiment_id=experiment_id, name=name)
            if not self.index.gaps.has(EXPERIMENT, experiment_id):
                known = "its name" if experiment_id in names_of_runs else "no more than its id"
                reason = f"there is no experiment.json of it in this folder; {known} is known from what lies in it"
                self.index.gaps.add(EXPERIMENT, experiment_id, EXPERIMENT_UNREADABLE, reason)

    def _needed(self) -> Iterator[str]:
        for entries in (self.index.runs, self.index.logged_models, self.index.traces):
            for entry in entries.values():
                yield entry.experiment_id

    def _experiment_names(self) -> dict[str, str]:
        """Return names of experiments that versions of registered models state of their runs."""
        versions = (v for entries in self.index.models.values() for entry in entries for v in entry.versions)
        return {
            self.index.runs[version.run_id].experiment_id: version.experiment_name
            for version in versions
            if version.run_id in self.index.runs and version.experiment_name
        }

    def _report_strays(self, layout: Layout) -> None:
        gaps, root = self.index.gaps, self.index.root
        for path in layout.strays:
            owner = printable(path.parent.name)
            reason = f"there are artifacts in {place_of(path, root)}, but no document beside them says whose they are"
            gaps.add(RUN, owner, RUN_UNREADABLE, reason, experiment_id=self._experiment_around(path))
        for path in layout.unknown:
            place = place_of(path, root)
            gaps.add(FOLDER, place, OBJECT_UNREADABLE, "it is JSON of a kind that this version does not know")
        for path in layout.links:
            gaps.add(FOLDER, place_of(path, root), OBJECT_UNREADABLE, "it is a link to a folder, which is not followed")
        for path, reason in layout.unlisted:
            gaps.add(FOLDER, place_of(path, root), OBJECT_UNREADABLE, f"the folder cannot be listed: {reason}")
