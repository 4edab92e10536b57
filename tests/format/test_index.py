"""The bytes of an index: its header, its records, and the keys that stand for entities and rows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.index import (
    IndexHeader,
    decode_header,
    decode_known,
    encode_header,
    encode_known,
    entity_key,
    group_key,
)
from mlflow_archive.format.manifest import canonical_json

HEADER = IndexHeader(
    archive_id="ab" * 32,
    sections={"manifest": 7, "known": 64, "with_gaps": 48, "groups": 32, "blobs": 32},
    experiments=[("1", 5, "one"), ("2", None, None)],
    gaps=[{"owner_kind": "source", "owner_id": "x"}],
    registered_models=True,
    unknown_tables={"gizmos": "cd" * 32},
)


def test_a_header_is_canonical_json_and_comes_back() -> None:
    data = encode_header(HEADER)
    document = json.loads(data)
    assert data == canonical_json(document)
    assert document == {
        "format": {"name": "mlflow-archive-index", "version": 1},
        "archive_id": "ab" * 32,
        "sections": HEADER.sections,
        "experiments": [["1", 5, "one"], ["2", None, None]],
        "gaps": [{"owner_kind": "source", "owner_id": "x"}],
        "registered_models": True,
        "unknown_tables": {"gizmos": "cd" * 32},
    }
    assert decode_header(data) == HEADER


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": {"name": "x", "version": 1}}, "it is of the format {'name': 'x', 'version': 1}"),
        ({"format": None}, "it is of the format None"),
        (
            {"sections": {**HEADER.sections, "known": 63, "groups": 31}},
            "its sections known, groups hold no whole number of records",
        ),
    ],
)
def test_what_is_no_header(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        decode_header(canonical_json({**json.loads(encode_header(HEADER)), **change}))
    end = ", expected mlflow-archive-index of version 1" if "format" in change else ""
    assert str(refused.value) == reason + end


def test_records_and_keys() -> None:
    def key(*texts: str) -> bytes:
        return hashlib.sha256(canonical_json(texts)).digest()[:16]

    assert (entity_key("run", "a"), group_key("tags", "a", "b")) == (
        key("entity", "run", "a"),
        key("rows", "tags", "a", "b"),
    )
    for contents, kept in ((None, None), ("cd" * 32, "cd" * 16)):
        record = encode_known("run", "a", Fingerprint("ef" * 32, contents))
        found, fingerprint = decode_known(record)
        assert (len(record), found, fingerprint, fingerprint.contents) == (
            64,
            key("entity", "run", "a"),
            "ef" * 32,
            kept,
        )
