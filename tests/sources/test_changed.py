"""What a database source gives of a shard of which the sink holds all, or with rows of an object whose own is gone."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.kinds import RUN, TABLES
from mlflow_archive.sources.database.changed import ReadObjects
from mlflow_archive.sources.database.gaps import MalformedValues

PARAM = {"run_id": "r", "key": "k", "value": "v"}
GAP = Gap(owner_kind=RUN, owner_id="another", path="a", code=ARTIFACT_MISSING, reason="it is not there")


@pytest.mark.parametrize(
    ("ids", "gaps", "expected"),
    [
        (["r"], [], []),
        (["r"], [GAP], [{"gaps": [GAP.row()]}]),
        ([], [], [{"params": [PARAM]}]),  # the row of the run could not be carried
    ],
)
def test_nothing_changed(ids: Sequence[str], gaps: list[Gap], expected: object) -> None:
    objects = ReadObjects(
        kind=RUN,
        tables={"params": pa.Table.from_pylist([PARAM], schema=TABLES["params"].schema)},
        ids=ids,
        fingerprints=lambda: dict.fromkeys(ids, Fingerprint("f")),
        files={},
        gaps=gaps,
        malformed=MalformedValues(RUN),
    )
    changed = objects.changed_ids(lambda kind, owner_id: Fingerprint("f"))
    chunks = objects.chunks(changed, "metrics", lambda changed_ids: ())
    found = [{name: rows.to_pylist() for name, rows in chunk.tables.items()} for chunk in chunks]
    assert (changed, found) == ([], expected)
