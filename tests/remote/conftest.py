"""A bucket in memory for the tests of archives in buckets."""

from __future__ import annotations

import tempfile

import pytest

from tests.support.counted_store import CountedBucket, lead_to


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> CountedBucket:
    """A bucket that every URI leads to, and a folder for temporary files in which no export has left anything."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    bucket = CountedBucket()
    lead_to(bucket, monkeypatch)
    return bucket
