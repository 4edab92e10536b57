"""A bucket in memory for the tests of archives in buckets."""

from __future__ import annotations

import pytest

from tests.support.counted_store import CountedBucket, lead_to


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedBucket:
    """A bucket that every URI leads to."""
    bucket = CountedBucket()
    lead_to(bucket, monkeypatch)
    return bucket
