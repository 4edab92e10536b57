"""How the golden archives were made; not run by tests. An archive that is there is never made again.

Data: two public stores of ``tests.support.corpora`` (licences beside this file), artifacts of at most 1,000 bytes;
one made-up store of everything odd that a store can hold; and a made-up database of MLflow 3.18 with skills.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.format.redaction import Redaction
from mlflow_archive.mlflow_database.uris import parse_database_uri
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.redacting.rules import parse_rules
from mlflow_archive.redacting.source import RedactedSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database import DatabaseSource
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.writer.compacting.compact import CompactOptions, compact
from mlflow_archive.writer.compacting.policy import Keep
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.redacted import Redacted, without_names
from tests.golden.test_golden import BASES, GOLDEN, HERE, base_of, content
from tests.spec.drafts import checksums, sha, write_directory, zipped
from tests.support.corpora import FILE_STORES, corpora, store_path
from tests.support.later_database import later_database, run
from tests.support.mlruns import Dataset, DatasetInput, Experiment, Point, Run, Store, write_store

NESTED, TEXTS = FILE_STORES[0], FILE_STORES[1]
TEXT_RUNS: Final = (
    "37cbbd800fc147f895adb7b1da46e85e",
    "43813bcb9c844e898e5a6674cc72c51f",
    "b7dc29b1a60446dca6cdd7a1ef1f10cf",
    "e0a60d196dd74404ac5c382646a8622f",
)
SMALL: Final = Selection(max_artifact_size=1_000)
CHANGED_RUN: Final = "0/bb55f3cea2cd4a61bfaa09714f19f792"

FIRST_OF_YEAR_10000_MS: Final = 253_402_300_800_000
CUT_BLOB: Final = bytes(9_000_000)  # three frames, and a few hundred bytes in the pack


class _Store(MlrunsSource):
    """A store that does not tell where it lay when the golden archives were made."""

    def facts(self) -> SourceFacts:
        return replace(super().facts(), uri="file:///data/mlruns")


def _export(
    store: Path,
    path: Path,
    selection: Selection,
    *,
    append: bool = False,
    base: Path | None = None,
    source: type[MlrunsSource] = _Store,
) -> None:
    options = ArchiveOptions(append=append, base=base)
    sink = ArchiveSink(path, options, tool="mlflow-archive 0.1.0", clock_ms=lambda: 1_764_000_000_000)
    copy(source(store), sink, selection, jobs=1)


def _two_exports(path: Path) -> None:
    """Export some experiments; then a run loses a tag and gains a point, and everything is exported."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "mlruns")
        shutil.copytree(store_path(*NESTED), store)
        run = next(path for path in (store / CHANGED_RUN, store / ".trash" / CHANGED_RUN) if path.is_dir())
        _export(store, path, replace(SMALL, experiments=("0", "6")))
        (run / "tags" / "mlflow.user").unlink()
        metric = next(file for file in (run / "metrics").iterdir() if file.is_file())
        with metric.open("a") as points:
            points.write("1656557000000 NaN 99\n")
        _export(store, path, SMALL, append=True)


def _from_the_future() -> dict[str, bytes]:
    """Return an archive that needs the feature `quantum-blobs`, and packs that no reader of version 1 can read."""
    members = {"README.txt": b"An archive of a later version.\n", "packs/0001-00000.quantum": bytes(range(256))}
    entries = [
        {"export": 1, "kind": "quantum", "path": path, "sha256": sha(data), "size": len(data), "spin": 0.5}
        for path, data in members.items()
    ]
    document: dict[str, Any] = {
        "format": {"name": "mlflow-archive", "major": 1, "minor": 9},
        "required_features": ["quantum-blobs"],
        "optional_features": ["entangled-index"],
        "exports": [{"number": 1, "when": "2036-01-01"}],
        "members": entries,
    }
    data = canonical_json(document)
    copy_name = "manifests/0001.json"
    return {
        "README.txt": members["README.txt"],
        "manifest.json": data,
        "checksums.sha256": checksums(document, copy_name, data),
        copy_name: data,
        "packs/0001-00000.quantum": members["packs/0001-00000.quantum"],
    }


def _major_2() -> dict[str, bytes]:
    """Return a directory of which version 1 knows nothing but the object `format`."""
    document = {"format": {"name": "mlflow-archive", "major": 2, "minor": 0, "epoch": "2036"}, "contents": ["CONTENTS"]}
    return {"manifest.json": json.dumps(document, indent=2).encode(), "CONTENTS": b"not to be read by version 1\n"}


def _odd_store() -> Store:
    """Return numbers, names and texts at the edge of what MLflow takes, and dataset inputs."""
    numbers = ("nan", "inf", "-inf", "-0.0", "5e-324", "1.7976931348623157e+308", "0.1", "0.1")
    points = [Point(key="loss/\u00fc x", value=float(text), step=i - 3) for i, text in enumerate(numbers)]
    points += [
        Point(key="loss/\u00fc x", value=0.25, step=4, dataset=("Iris", "d1")),
        Point(key="steps", value=1.0, step=2**63 - 1, timestamp=FIRST_OF_YEAR_10000_MS),
        Point(key="steps", value=2.0, step=1 - 2**63, timestamp=0),
    ]
    iris = Dataset(name="Iris \u00dfet", digest="d1", source='{"uri": "s3://b/k"}', schema='{"a": 1}', profile="{}")
    odd = Run(
        run_id="0" * 31 + "a",
        name="na\u00efve \u6a21\u578b \U0001f600 \u2028\"'",
        params={"a/b c": "many\nlines\n", "empty": ""},
        tags={"long": "t" * 8000, "mlflow.user": "Zo\u00eb"},
        metrics=tuple(points),
        artifacts={"a b/%41#?.txt": b"odd", "empty": b"", "\u00fcn\u00ef/\U0001f600.bin": b"odd", "cut.bin": CUT_BLOB},
        inputs=(
            DatasetInput(dataset=iris, tags={"mlflow.data.context": "training", "\u00fc": "2"}),
            DatasetInput(dataset=Dataset(name="plain", digest="d2")),
        ),
    )
    child = Run(run_id="0" * 31 + "b", status="RUNNING", end_time=None, tags={"mlflow.parentRunId": odd.run_id})
    lost = Run(run_id="0" * 31 + "c", name="lost", metrics=(Point(key="loss", value=0.5),))
    gone = Run(run_id="0" * 31 + "d", name="gone", status="KILLED", deleted=True, deleted_time=1_700_000_002_000)
    return Store(
        experiments=(
            Experiment(
                experiment_id="1", name="Gr\u00f6\u00dfe / #1", tags={"te am": "\u00fc"}, runs=(odd, child, lost)
            ),
            Experiment(experiment_id="2", name="deleted", deleted=True, creation_time=None, runs=(gone,)),
            Experiment(experiment_id="3", name="no runs"),
        )
    )


def _write_odd_store(store: Path) -> None:
    """Write the odd store as one that does not tell where it lay."""
    write_store(_odd_store(), store)
    for meta in store.rglob("meta.yaml"):
        meta.write_text(meta.read_text("utf-8").replace(store.as_uri(), "file:///data/mlruns"), "utf-8")


def _oddities(path: Path) -> None:
    """Export the odd store, with a line of a metric and a run's fields cut off, so that there are gaps."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "mlruns")
        _write_odd_store(store)
        with (store / "1" / ("0" * 31 + "a") / "metrics" / "steps").open("a") as points:
            points.write("1700000000000 0.")
        (store / "1" / ("0" * 31 + "c") / "meta.yaml").write_text("status: [")
        _export(store, path, Selection())


class _Newer(_Store):
    """A store that says it is of a version that the program does not know, as a database may."""

    def facts(self) -> SourceFacts:
        return replace(super().facts(), schema_revision="f" * 12, newer_schema=True)


def _odd_exports(path: Path) -> None:
    """Export the odd store; then a point is logged for an earlier step, and a file replaced by as many bytes."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "mlruns")
        _write_odd_store(store)
        _export(store, path, Selection(), source=_Newer)
        run = store / "1" / ("0" * 31 + "a")
        with (run / "metrics" / "steps").open("a") as points:
            points.write("1700000000000 0.25 7\n")
        (run / "artifacts" / "a b" / "%41#?.txt").write_bytes(b"ODD")
        _export(store, path, Selection(), append=True, source=_Newer)


def _settled(path: Path) -> None:
    """Export the odd store with a field that nobody knows in an experiment and in a run; then it is in neither."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "mlruns")
        _write_odd_store(store)
        metas = [store / "1" / "meta.yaml", store / "1" / ("0" * 31 + "b") / "meta.yaml"]
        before = [meta.read_text("utf-8") for meta in metas]
        for meta, text in zip(metas, before, strict=True):
            meta.write_text(f"{text}later: 1\n", "utf-8")
        _export(store, path, Selection())
        for meta, text in zip(metas, before, strict=True):
            meta.write_text(text, "utf-8")
        _export(store, path, Selection(), append=True)


def _delta(path: Path) -> None:
    """Export the odd store as a delta of `v1-oddities.mlfa`, whole; files came, a tag went."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "mlruns")
        _write_odd_store(store)
        run = store / "1" / ("0" * 31 + "b")
        (run / "tags" / "mlflow.parentRunId").unlink()
        (run / "artifacts").mkdir(exist_ok=True)
        (run / "artifacts" / "as in a.bin").write_bytes(b"odd")
        (run / "artifacts" / "new.bin").write_bytes(b"new")
        _export(store, path, Selection(), base=HERE / BASES[path.name])


def _compacted(path: Path) -> None:
    """Export the odd store four times and keep the last two, of which the first is that of the two exports above."""
    with tempfile.TemporaryDirectory() as folder:
        store, whole = Path(folder, "mlruns"), Path(folder, "whole.mlfa")
        _write_odd_store(store)
        files = store / "1" / ("0" * 31 + "b") / "artifacts"
        files.mkdir(exist_ok=True)
        (files / "gone.bin").write_bytes(b"gone")
        _export(store, whole, Selection(), source=_Newer)
        shutil.rmtree(files)
        _export(store, whole, Selection(), append=True, source=_Newer)
        run = store / "1" / ("0" * 31 + "a")
        with (run / "metrics" / "steps").open("a") as points:
            points.write("1700000000000 0.25 7\n")
        (run / "artifacts" / "a b" / "%41#?.txt").write_bytes(b"ODD")
        _export(store, whole, Selection(), append=True, source=_Newer)
        (run / "artifacts" / "cut.bin").unlink()
        _export(store, whole, Selection(), append=True, source=_Newer)
        options = CompactOptions(tool="mlflow-archive 0.1.0", clock_ms=lambda: 1_764_000_000_000)
        compact(whole, path, Keep(last=2), options)


class _Database(DatabaseSource):
    """A database that does not tell where it lay."""

    def facts(self) -> SourceFacts:
        return replace(super().facts(), uri="sqlite:////data/mlflow.db")


_GIZMOS: Final = """
UPDATE experiments SET artifact_location = 'mlflow-artifacts:/' || experiment_id;
UPDATE experiments SET creation_time = 1, last_update_time = 2;
CREATE TABLE gizmos (name TEXT NOT NULL, "Odd näme" INTEGER, weight REAL, data BLOB, api_Token TEXT);
INSERT INTO gizmos VALUES ('ü', 9007199254740993, 0.5, x'00ff', 'MARKER'), ('', NULL, -0.0, NULL, NULL);
CREATE TABLE of_one_export (key TEXT);
INSERT INTO of_one_export VALUES ('a'), ('b');
"""
_CHANGES: Final = """
DROP TABLE of_one_export;
UPDATE gizmos SET weight = 2.5 WHERE name <> '';
DELETE FROM gizmos WHERE name = '';
DELETE FROM skill_tags;
INSERT INTO skill_aliases (workspace, organization, name, alias, version) VALUES ('default', '', 'review', 'next', 1);
UPDATE skill_versions SET status = 'deprecated' WHERE organization <> '';
"""


def _skills(path: Path) -> None:
    """Export a database of MLflow 3.18 with skills and tables that nobody knows; some of both change; again."""
    with tempfile.TemporaryDirectory() as folder:
        database = later_database(Path(folder))
        for append, script in ((False, _GIZMOS), (True, _CHANGES)):
            run(database, script)
            roots = ArtifactRoots(artifacts_destination=f"{folder}/art")
            options = ArchiveOptions(append=append)
            sink = ArchiveSink(path, options, tool="mlflow-archive 0.1.0", clock_ms=lambda: 1_764_000_000_000)
            source = _Database(parse_database_uri(f"sqlite:///{database}"), roots=roots)
            copy(source, sink, Selection(unknown_tables=True), jobs=1)


_RULES: Final = b"""
[[values]]
name = "people"
table = "runs"
column = "user_id"
action = "pseudonym"
[[values]]
name = "places"
match = "/data/"
action = "replace"
with = "/x/"
[[artifacts]]
path = "cut*"
[erase]
runs = ["0000000000000000000000000000000d"]
"""


def _redacted(path: Path) -> None:
    """Take people, a word wherever it stands and artifacts out of the made-up store."""
    rules, key = parse_rules(_RULES, "rules"), b"the key of pseudonyms"
    with open_archive(HERE / "v1-oddities.mlfa") as archive:
        source = RedactedSource(archive, rules, key)
        stated = Redaction(rules=rules.digest(key), names=rules.names, archive=archive.id)
        redacted = Redacted(
            redaction=stated, source=source.stated_source, selection=without_names(archive.newest_export.selection)
        )
        tool, clock_ms = "mlflow-archive 0.1.0", lambda: 1_764_000_000_000
        copy(source, ArchiveSink(path, tool=tool, clock_ms=clock_ms, redacted=redacted), Selection(), jobs=1)


def _expect(name: str) -> None:
    with open_archive(HERE / name, base=base_of(name)) as archive:
        text = json.dumps(content(archive), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (HERE / f"{name}.expected.json").write_text(text, "utf-8")


MAKERS: Final[dict[str, Callable[[Path], object]]] = {
    "v1-directory": lambda path: _export(store_path(*TEXTS), path, replace(SMALL, runs=TEXT_RUNS)),
    "v1-single.mlfa": lambda path: _export(store_path(*NESTED), path, SMALL),
    "v1-two-exports.mlfa": _two_exports,
    "v1-oddities.mlfa": _oddities,
    "v1_1-two-exports.mlfa": _odd_exports,
    "v1_1-skills.mlfa": _skills,
    "v1_2-settled.mlfa": _settled,
    "v1_3-two-exports.mlfa": _odd_exports,
    "v1_4-delta.mlfa": _delta,
    "v1_5-compacted.mlfa": _compacted,
    "v1_6-redacted.mlfa": _redacted,
    "from-the-future.mlfa": lambda path: path.write_bytes(zipped(list(_from_the_future().items()))),
    "from-the-future-major2": lambda path: write_directory(_major_2(), path),
}


def main() -> None:
    """Make what is not there."""
    for name in [name for name in MAKERS if not (HERE / name).exists()]:
        MAKERS[name](HERE / name)
        if name in GOLDEN:
            _expect(name)
    for corpus, _ in (NESTED, TEXTS):
        shutil.copyfile(corpora() / corpus / "LICENSE.upstream", HERE / f"LICENSE.{corpus}")


if __name__ == "__main__":
    main()
