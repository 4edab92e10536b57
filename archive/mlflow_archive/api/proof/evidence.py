"""The result of a proof, and what of it goes into a file as evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow_archive import __version__
from mlflow_archive.api.diffing import Diff
from mlflow_archive.api.proof.proving import Findings
from mlflow_archive.format.notebook import pairs_html, rows_html
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.rows import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(Diff):
    """What differs between an archive and the server it was imported into, and what was named and not counted.

    ``refused`` is what the import itself refused, ``not_counted`` has an entry for each rule and place, ``objects`` and
    ``rows`` say how many were compared, by kind and by table. ``evidence`` is all of it, for a file.
    """

    refused: Sequence[Mapping[str, Any]] = ()
    not_counted: Sequence[Mapping[str, Any]] = ()
    objects: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def proved(self) -> bool:
        """Whether all arrived: nothing differs, and nothing was refused."""
        return self.same and not self.refused

    @property
    def _sentence(self) -> str:
        return "proved" if self.proved else "not proved"

    def _repr_html_(self) -> str:
        numbers = {kind.replace("_", " "): f"{number:,}" for kind, number in self.objects.items() if number}
        columns = ("kind", "id", "code", "reason")
        refused = [{name: entry[name] for name in columns} for entry in self.refused]
        return (
            Diff._repr_html_(self)
            + pairs_html("compared", numbers)
            + rows_html("refused by the import", refused)
            + rows_html("named and not counted", self.not_counted)
        )


def proof_of(changes: Sequence[Any], findings: Findings, facts: Mapping[str, Any]) -> Proof:
    """Return the result of a proof; ``facts`` begin the evidence."""
    refused = [
        {**change.to_json(), "code": refusal["code"], "reason": refusal["reason"]}
        for change, refusal in findings.refused
    ]
    not_counted, objects, rows = findings.notes.to_json(), dict(findings.objects), dict(findings.rows)
    diff = Diff(changes=changes)
    evidence = {
        "tool": f"mlflow-archive {__version__}",
        "proved": diff.same and not refused,
        **facts,
        "objects": {kind: number for kind, number in objects.items() if number},
        "rows": {table: number for table, number in rows.items() if number},
        "counts": {**diff.counts, "refused": len(refused)},
        "differences": [change.to_json() for change in changes],
        "refused": refused,
        "not_counted": not_counted,
        "other_objects_in_target": {kind: number for kind, number in findings.beside.items() if number > 0},
    }
    return Proof(
        changes=changes, refused=refused, not_counted=not_counted, objects=objects, rows=rows, evidence=evidence
    )


def archive_facts(archive: Archive, place: str) -> dict[str, Any]:
    """Return what the evidence says of the archive."""
    exports = [
        {
            "number": export.number,
            "time": Moment(export.created_ms).iso(),
            "tool": export.tool,
            "source": export.source.get("uri"),
            "mlflow_version": export.source.get("mlflow_version"),
            "gaps": export.gaps,
        }
        for export in archive.manifest.exports
    ]
    return {"path": place, "id": archive.id, "exports": exports}


def target_facts(target: Archive, place: str) -> dict[str, Any]:
    """Return what the evidence says of the target, as it was read back."""
    export = target.newest_export
    gaps = target.table("gaps").to_pylist()
    return {
        "uri": place,
        "mlflow_version": export.source.get("mlflow_version"),
        "schema_revision": export.source.get("schema_revision"),
        "read_at": Moment(export.created_ms).iso(),
        "unreadable": [{name: gap[name] for name in ("owner_kind", "owner_id", "path", "reason")} for gap in gaps],
    }
