"""Make ``spec/vectors/``. Run by hand when a vector is added: ``python -m tests.spec.make_vectors``.

The files are committed; tests read them and never make them anew, so that they also show what other versions of the
Parquet and zstd libraries wrote. A vector that is there already is left as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.spec import carried_tables, deltas, faults_of_keys, faults_of_lists
from tests.spec.drafts import Files, build, in_order, write_directory, zipped
from tests.spec.faults import FAULTS
from tests.spec.faults_that_warn import WARNINGS
from tests.spec.single_file_faults import SINGLE_FAULTS
from tests.spec.sound import VALID

VECTORS: Final = Path(__file__).resolve().parents[2] / "spec" / "vectors"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A vector on its way to disk."""

    folder: str
    name: str
    what: str
    codes: tuple[str, ...]
    content: Files | bytes
    base: str | None = None


def all_vectors() -> list[Made]:
    """Return every vector, made now."""
    found = []
    for folder, faults in (
        ("invalid", {**FAULTS, **faults_of_keys.FAULTS, **faults_of_lists.FAULTS, **carried_tables.FAULTS}),
        ("warning", WARNINGS),
    ):
        for name, fault in faults.items():
            files = build(fault.draft)
            content: Files | bytes = zipped(in_order(files)) if fault.single else files
            suffix = ".mlfa" if fault.single else ""
            codes = (name[:4], *fault.also)
            found.append(Made(folder=folder, name=name + suffix, what=fault.what, codes=codes, content=content))
    for name, (what, make) in SINGLE_FAULTS.items():
        found.append(Made(folder="invalid", name=f"{name}.mlfa", what=what, codes=(name[:4],), content=make()))
    found += _deltas()
    for name, (what, make_valid) in {**VALID, **carried_tables.VALID}.items():
        found.append(Made(folder="valid", name=name, what=what, codes=(), content=make_valid()))
    return found


def _deltas() -> list[Made]:
    """Return the vectors of deltas; some of which are looked at beside their base."""
    found = []
    for folder, vectors, base in (
        ("invalid", deltas.FAULTS, None),
        ("invalid", deltas.FAULTS_BESIDE_BASE, deltas.BASE),
        ("valid", deltas.VALID, deltas.BASE),
    ):
        for name, (what, make) in vectors.items():
            codes = () if folder == "valid" else (name[:4],)
            found.append(Made(folder=folder, name=name, what=what, codes=codes, content=make(), base=base))
    return found


def main() -> None:
    index: dict[str, dict[str, object]] = {}
    for vector in all_vectors():
        path = VECTORS / vector.folder / vector.name
        beside = {} if vector.base is None else {"base": vector.base}
        index[f"{vector.folder}/{vector.name}"] = {"codes": list(vector.codes), "what": vector.what, **beside}
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(vector.content, bytes):
            path.write_bytes(vector.content)
        else:
            write_directory(vector.content, path)
    text = json.dumps(dict(sorted(index.items())), indent=1, ensure_ascii=False) + "\n"
    (VECTORS / "vectors.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
