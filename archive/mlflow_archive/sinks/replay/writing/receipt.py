"""What a replay did, collected from several threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock
from typing import Final

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.flow.report import Report
from mlflow_archive.format.refusals import KIND_REFUSED, REFUSALS
from mlflow_archive.kinds import EVALUATION_DATASET, EXPERIMENT, RUN, TRACE

_KNOWN_SINCE: Final = {
    EVALUATION_DATASET: "MLflow does since 3.4",
    TRACE: "MLflow keeps traces under ids that are given to it since 3.2",
}

_LINKS: Final = {
    "runs_without_parent": "runs to their parents",
    "logged_model_without_its_run": "logged models to the runs that made them",
    "model_links_without_run": "logged models to runs that made or used them",
    "model_points_without_run": "metric points of logged models to their runs",
    "links_to_models_not_there": "runs to logged models",
    "traces_without_their_run": "traces to the runs that made them",
    "traces_without_their_logged_model": "traces to logged models",
    "trace_links_without_run": "traces to further runs",
    "trace_links_without_prompt": "traces to prompts",
    "issues_without_their_run": "issues to runs",
    "dataset_links_without_experiment": "evaluation datasets to experiments",
    "prompt_references_not_there": "prompts to runs or experiments",
    "aliases_without_their_version": "aliases to versions",
}
"""What links are called of which one end is neither brought by an import nor there already: mostly, a selection left it
out. They are counted, and never a refusal."""


class Receipt:
    """Source id to target id by kind, counts, and everything that did not arrive as it was."""

    def __init__(self, target: str, *, dry_run: bool) -> None:
        self._lock = Lock()
        self._target = target
        self._dry_run = dry_run
        self._ids: dict[str, dict[str, str | None]] = {EXPERIMENT: {}, RUN: {}}
        self._made: dict[str, list[str]] = {}
        self._done: dict[str, Counter[str]] = {RUN: _no_outcomes()}
        self._counts: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()
        self._shortened: list[dict[str, object]] = []
        self._rewritten: list[dict[str, object]] = []
        self._missing_parents: list[dict[str, str]] = []
        self._notes: list[str] = []
        self._kept_values: dict[str, dict[str, dict[str, object]]] = {}
        self._gaps: list[Gap] = []
        self._unknown: Counter[str] = Counter()
        self._without_files: set[tuple[str, str]] = set()
        self._asked: dict[str, Mapping[str, object]] = {"options": {}, "selection": {}}

    def asked(self, options: Mapping[str, object], selection: Mapping[str, object]) -> None:
        """Note what was asked of the import, as far as it is not the default."""
        with self._lock:
            self._asked = {"options": options, "selection": selection}

    def mapped(self, kind: str, source_id: str, target_id: str | None) -> None:
        """Note what a source id of a kind is in the target; None is what a dry run would create."""
        with self._lock:
            self._ids.setdefault(kind, {})[source_id] = target_id

    def made(self, kind: str, target_id: str) -> None:
        """Note an object of the target that this import made, and did not find there."""
        with self._lock:
            self._made.setdefault(kind, []).append(target_id)

    def ids(self, kind: str) -> Mapping[str, str | None]:
        """Return source id to target id, of all objects of a kind that this import made or found."""
        return self._ids.get(kind, {})

    def done(self, outcome: str, kind: str = RUN) -> None:
        """Count an object as ``created``, ``updated``, ``skipped`` or ``refused``."""
        with self._lock:
            self._done.setdefault(kind, _no_outcomes())[outcome] += 1

    def count(self, unit: str, amount: int = 1) -> None:
        """Count something that was written, or left out without being refused."""
        with self._lock:
            self._counts[unit] += amount

    def changed(self, kind: str, amount: int = 1) -> None:
        """Count something that arrived otherwise than it was."""
        if amount:
            with self._lock:
                self._changed[kind] += amount

    def shortened(self, owner_id: str, kind: str, key: str, length: int) -> None:
        """Note a text that was too long; ``length`` is what it had, in characters."""
        with self._lock:
            self._shortened.append({"owner": owner_id, "kind": kind, "key": key, "length": length})

    def rewritten(self, entry: dict[str, object]) -> None:
        """Note a value that the target cannot hold and that arrived as another one, with what it was."""
        with self._lock:
            self._rewritten.append(entry)

    def missing_parent(self, run_id: str, parent_id: str) -> None:
        """Note a run whose parent is not in the target; ids are the source's."""
        with self._lock:
            self._missing_parents.append({"run": run_id, "parent": parent_id})

    def kept(self, kind: str, source_id: str, values: Mapping[str, object]) -> None:
        """Keep in the report what an object of the target does not get: MLflow's API cannot set it where there are no
        tags either, or the target has its own. Nulls are left out.
        """
        present = {name: value for name, value in values.items() if value is not None}
        if present:
            with self._lock:
                self._kept_values.setdefault(kind, {}).setdefault(source_id, {}).update(present)

    def note(self, sentence: str) -> None:
        """Note a sentence for the user."""
        with self._lock:
            self._notes.append(sentence)

    def refuse(self, kind: str, owner_id: str, path: str, code: str, reason: str) -> None:
        """Note something that did not arrive; ``code`` is one of ``format.refusals``."""
        if code not in REFUSALS:
            raise ValueError(code)
        with self._lock:
            self._gaps.append(Gap(owner_kind=kind, owner_id=owner_id, path=path, code=code, reason=reason))

    def gaps(self, kind: str, source_id: str) -> list[Gap]:
        """Return what did not arrive of an object."""
        with self._lock:
            return [gap for gap in self._gaps if (gap.owner_kind, gap.owner_id) == (kind, source_id)]

    def without_file(self, kind: str, source_id: str) -> None:
        """Note an object that lacks a file which another import may be able to write."""
        with self._lock:
            self._without_files.add((kind, source_id))

    def has_files(self, kind: str, source_id: str) -> bool:
        """Return whether an object lacks no file that another import may be able to write."""
        return (kind, source_id) not in self._without_files

    def unknown(self, kind: str) -> None:
        """Count an object of a kind that the target does not know; all of a kind become one refusal."""
        with self._lock:
            self._unknown[kind] += 1
        self.done("refused", kind)

    def is_unknown(self, kind: str) -> bool:
        """Return whether the target has shown that it does not know a kind."""
        return kind in self._unknown

    def refuse_many(self, numbers: Mapping[str, int], code: str, why: str) -> None:
        """Note how many objects of each kind did not arrive, one refusal a kind; ``why`` ends the sentence."""
        for kind, number in sorted(numbers.items()):
            if number:
                self.refuse(kind, "", "", code, f"{counted(kind, number)}{why}")

    def report(self) -> Report:
        """Return all of it as the sink's report; at any time, also while others go on writing into it."""
        with self._lock:
            return self._report()

    def _report(self) -> Report:
        gaps = [*self._gaps, *(_gap_of_unknown(kind, number) for kind, number in sorted(self._unknown.items()))]
        refusals = [
            {"kind": gap.owner_kind, "id": gap.owner_id, "path": gap.path, "code": gap.code, "reason": gap.reason}
            for gap in gaps
        ]
        runs = self._done[RUN]
        other_kinds = {kind: dict(done) for kind, done in self._done.items() if kind != RUN}
        counts = {**self._counts, "experiments": len(self._ids[EXPERIMENT]), **runs, "runs": runs.total()}
        counts |= {plural(kind).replace(" ", "_"): sum(done.values()) for kind, done in other_kinds.items()}
        details: dict[str, object] = {
            "target": self._target,
            "dry_run": self._dry_run,
            **self._asked,
            "experiments": dict(self._ids[EXPERIMENT]),
            "runs": dict(self._ids[RUN]),
            "ids": {kind: dict(ids) for kind, ids in self._ids.items() if kind not in (EXPERIMENT, RUN)},
            "made": {kind: sorted(ids) for kind, ids in self._made.items()},
            "outcomes": other_kinds,
            **dict(runs),
            "shortened": list(self._shortened),
            "rewritten": list(self._rewritten),
            "changed": dict(self._changed),
            "kept_here_only": {kind: dict(values) for kind, values in self._kept_values.items()},
            "missing_parents": list(self._missing_parents),
            "notes": [*self._notes, *self._note_of_links()],
            "refusals": refusals,
        }
        return Report(counts=counts, gaps=gaps, details=details)

    def _note_of_links(self) -> list[str]:
        numbers = {**self._changed, "runs_without_parent": len(self._missing_parents)}
        counted_links = [f"{numbers[name]} of {words}" for name, words in _LINKS.items() if numbers.get(name)]
        if not counted_links:
            return []
        return [f"links to what neither came nor was there are left out: {', '.join(counted_links)}"]


def _gap_of_unknown(kind: str, number: int) -> Gap:
    since = _KNOWN_SINCE.get(kind, "it is older, or has the feature off")
    reason = f"{counted(kind, number)}: the target does not know them; {since}"
    return Gap(owner_kind=kind, owner_id="", path="", code=KIND_REFUSED, reason=reason)


def plural(kind: str) -> str:
    """Return the words for several objects of a kind."""
    words = kind.replace("_", " ")
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def counted(kind: str, number: int) -> str:
    """Return a number of objects of a kind in words."""
    return f"1 {kind.replace('_', ' ')}" if number == 1 else f"{number} {plural(kind)}"


def _no_outcomes() -> Counter[str]:
    return Counter(created=0, updated=0, skipped=0)
