"""What cannot be carried of a database, as rows of the table ``gaps``; and fingerprints of what can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from mlflow_archive.flow.chunk import Gap, gap_table
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.gaps import FIELD_UNREADABLE, METRIC_UNREADABLE
from mlflow_archive.kinds import TABLES, is_identity, owner_id
from mlflow_archive.sources.database.converting import MalformedValue
from mlflow_archive.sources.reading.gaplist import unreadable


class MalformedValues:
    """Turns values that cannot be carried into gaps of the entity they belong to."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._gaps: dict[tuple[str, str], Gap] = {}

    def add(self, wrong: MalformedValue) -> None:
        """Add a value; several at one place become one gap, whose reason names each column once."""
        table = TABLES[wrong.table]
        owner = self._owner(wrong)
        names = [str(value) for name, value in wrong.key.items() if name not in table.owner and value is not None]
        path = "/".join(part for part in ("" if is_identity(table) else wrong.table, *names) if part)
        code = METRIC_UNREADABLE if wrong.table == "metrics" else FIELD_UNREADABLE
        if is_identity(table) and not table.schema.field(wrong.column).nullable:
            code = unreadable(self._kind)
        reason = f"{wrong.column} holds {wrong.text}"
        if earlier := self._gaps.get((owner, path)):
            reason = earlier.reason if reason in earlier.reason else f"{earlier.reason}; {reason}"
        self._gaps[owner, path] = Gap(owner_kind=self._kind, owner_id=owner, path=path, code=code, reason=reason)

    def _owner(self, wrong: MalformedValue) -> str:
        """Return the id of the entity; a dataset, which comes with its experiment, is named as that."""
        table = TABLES[wrong.table]
        parts = {name: wrong.key.get(name) or "" for name in table.owner}
        return owner_id(table, parts) if table.entity == self._kind else str(parts[table.owner[0]])

    def gaps(self) -> list[Gap]:
        """Return one gap for each place at which something was malformed."""
        return list(self._gaps.values())


def with_gaps(tables: Mapping[str, pa.Table], gaps: Sequence[Gap]) -> dict[str, pa.Table]:
    """Return the tables that have rows, with the gaps as one of them."""
    with_rows = {name: rows for name, rows in tables.items() if rows.num_rows}
    return {**with_rows, "gaps": gap_table(gaps)} if gaps else with_rows


def fingerprint_rows(kind: str, fingerprints: Mapping[str, Fingerprint]) -> pa.Table:
    """Return fingerprints by id as rows."""
    rows = [fingerprint.row(kind, owner_id) for owner_id, fingerprint in fingerprints.items()]
    return pa.Table.from_pylist(rows, schema=TABLES["fingerprints"].schema)
