"""Vectors of deltas of ``valid/single.mlfa``: one that is right, in both forms, and what a reader must refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from mlflow_archive.format.manifest import canonical_json
from tests.spec.drafts import COPY, RUN_B, Draft, Files, Row, base_rows, build, build_second, in_order, sha, zipped

BASE: Final = "valid/single.mlfa"
_COPY: Final = "manifests/0002.json"
_TAKEN_BACK: Final = "tables/params/0001-00000.parquet"


def _nothing(_: Any) -> None:
    """Change nothing."""


def delta(manifest: Callable[[Row], object] = _nothing, files: Callable[[Files], object] = _nothing) -> Files:
    """Return a delta in which run b comes again, without params, with an artifact whose blob is in the base.

    ``manifest`` changes what it states, ``files`` what it holds.
    """
    first = base_rows()
    renamed = {**first["runs"][1], "run_name": "second, renamed"}
    shared = {**first["artifacts"][0], "owner_id": RUN_B}
    whole = build_second(Draft(), {"experiments": first["experiments"], "runs": [renamed], "artifacts": [shared]})
    document = json.loads(whole["manifest.json"])
    document["delta"] = {"base": sha(whole[COPY]), "export": 1, "minor": document["format"]["minor"]}
    document["format"]["minor"] = 4
    document["required_features"] = ["delta"]
    manifest(document)
    data = canonical_json(document)
    here = {entry["path"]: whole[entry["path"]] for entry in document["members"] if entry["export"] == 2}
    listed = {path: sha(content) for path, content in here.items()} | {_COPY: sha(data)}
    checksums = "".join(f"{listed[path]}  {path}\n" for path in sorted(listed)).encode()
    made = {"manifest.json": data, "checksums.sha256": checksums, _COPY: data, **here}
    files(made)
    return made


def _single(**edits: Callable[[Any], object]) -> bytes:
    return zipped(in_order(delta(**edits)))


def _other_member(document: Row) -> None:
    entry = next(entry for entry in document["members"] if entry["path"] == _TAKEN_BACK)
    entry["sha256"] = "0" * 64


def _beside(files: Files) -> None:
    files[_TAKEN_BACK] = build(Draft())[_TAKEN_BACK]


FAULTS: Final[dict[str, tuple[str, Callable[[], Files | bytes]]]] = {
    "E002_delta_without_key": (
        "The feature `delta`, and nothing says of which base.",
        lambda: delta(manifest=lambda d: d.pop("delta")),
    ),
    "E002_delta_without_feature": (
        "The key `delta`, and no feature of that name.",
        lambda: delta(manifest=lambda d: d.update(required_features=[])),
    ),
    "E002_delta_of_other_manifest": (
        "The archive id of the base is not the SHA-256 of its manifest, as listed.",
        lambda: delta(manifest=lambda d: d["delta"].update(base="0" * 64)),
    ),
    "E002_delta_without_export": (
        "The base is said to have every export that is listed.",
        lambda: delta(manifest=lambda d: d["delta"].update(export=2)),
    ),
    "E002_delta_with_more": (
        "What is stated of the base has a key that is none of its own.",
        lambda: delta(manifest=lambda d: d["delta"].update(novel=1)),
    ),
    "E010_delta_member_missing": (
        "A member that must lie in the delta is missing.",
        lambda: delta(files=lambda f: f.pop("tables/runs/0002-00000.parquet")),
    ),
    "E013_delta_holds_member_of_base.mlfa": (
        "A member of the base lies in the delta.",
        lambda: _single(files=_beside),
    ),
}
FAULTS_BESIDE_BASE: Final[dict[str, tuple[str, Callable[[], Files | bytes]]]] = {
    "E007_other_member.mlfa": (
        "The delta states another SHA-256 of a member than its base does.",
        lambda: _single(manifest=_other_member),
    ),
    "E007_other_export.mlfa": (
        "The delta states another time of an export than its base does.",
        lambda: _single(manifest=lambda d: d["exports"][0].update(created_ms=1)),
    ),
}
VALID: Final[dict[str, tuple[str, Callable[[], Files | bytes]]]] = {
    "delta": ("Format 1.4: run b comes again, as a delta of single.mlfa.", delta),
    "delta.mlfa": ("The same as a single file.", _single),
}
