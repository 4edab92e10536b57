"""The packed corpora hold what tests name, with where it comes from and the licence; packing leaves no trace."""

from __future__ import annotations

import json
import tarfile

import pytest
from zstandard import ZstdDecompressor

from tests.support.corpora import (
    DATABASES,
    EXIM_CORPUS,
    EXIM_SAMPLES,
    FILE_STORES,
    PACKED,
    corpora,
    exim_sample,
    store_facts,
)


@pytest.mark.parametrize("corpus", sorted({corpus for corpus, _ in FILE_STORES + DATABASES} | {EXIM_CORPUS}))
def test_provenance_and_licence(corpus: str) -> None:
    provenance = json.loads((corpora() / corpus / "PROVENANCE.json").read_text("utf-8"))
    assert provenance["repo"] == f"github.com/{corpus.replace('__', '/', 1)}"
    assert len(provenance["commit"]) == 40
    licence = (corpora() / corpus / "LICENSE.upstream").read_text("utf-8")
    assert "MIT License" in licence or "Apache License" in licence


@pytest.mark.parametrize(("corpus", "store"), FILE_STORES + DATABASES)
def test_facts(corpus: str, store: str) -> None:
    assert store_facts(corpus, store)


@pytest.mark.parametrize("sample", EXIM_SAMPLES)
def test_samples(sample: str) -> None:
    assert list(exim_sample(sample).rglob("*.json"))


def test_packing_is_deterministic() -> None:
    with (
        PACKED.open("rb") as packed,
        ZstdDecompressor().stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        members = list(tar)
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", 0)
    }
    assert {member.mode for member in members} == {0o644, 0o755}
