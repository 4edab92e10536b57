"""How the golden archives were made; not run by tests, and it refuses to run where they are.

Data: two public stores of ``tests.support.corpora`` (licences beside this file), artifacts of at most 1,000 bytes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mlflow_archive.copy import copy
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.pipeline import Selection, SourceFacts
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.writer.export import ArchiveSink, ExportOptions
from tests.golden.test_golden import FUTURE, GOLDEN, HERE, content
from tests.spec.drafts import checksums, sha, write_directory, zipped
from tests.support.corpora import CORPORA, FILE_STORES, store_path

NESTED, TEXTS = FILE_STORES[0], FILE_STORES[1]
TEXT_RUNS: Final = (
    "37cbbd800fc147f895adb7b1da46e85e",
    "43813bcb9c844e898e5a6674cc72c51f",
    "b7dc29b1a60446dca6cdd7a1ef1f10cf",
    "e0a60d196dd74404ac5c382646a8622f",
)
SMALL: Final = Selection(max_artifact_size=1_000)
CHANGED_RUN: Final = "0/bb55f3cea2cd4a61bfaa09714f19f792"


class _Store(MlrunsSource):
    """A store that does not tell where it lay when the golden archives were made."""

    def facts(self) -> SourceFacts:
        return replace(super().facts(), uri="file:///data/mlruns")


def _export(store: Path, path: Path, selection: Selection, *, append: bool = False) -> None:
    sink = ArchiveSink(
        path, ExportOptions(append=append), tool="mlflow-archive 0.1.0", clock_ms=lambda: 1_764_000_000_000
    )
    copy(_Store(store), sink, selection, jobs=1)


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


def _expect(names: Sequence[str]) -> None:
    for name in names:
        with open_archive(HERE / name) as archive:
            text = json.dumps(content(archive), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (HERE / f"{name}.expected.json").write_text(text, "utf-8")


def main() -> None:
    """Make everything, once."""
    if any((HERE / name).exists() for name in (*GOLDEN, *FUTURE)):
        raise SystemExit("The golden archives are there. They are never made again.")
    _export(store_path(*TEXTS), HERE / "v1-directory", replace(SMALL, runs=TEXT_RUNS))
    _export(store_path(*NESTED), HERE / "v1-single.mlfa", SMALL)
    _two_exports(HERE / "v1-two-exports.mlfa")
    (HERE / "from-the-future.mlfa").write_bytes(zipped(list(_from_the_future().items())))
    write_directory(_major_2(), HERE / "from-the-future-major2")
    for corpus, _ in (NESTED, TEXTS):
        shutil.copyfile(CORPORA / corpus / "LICENSE.upstream", HERE / f"LICENSE.{corpus}")
    _expect(GOLDEN)


if __name__ == "__main__":
    main()
