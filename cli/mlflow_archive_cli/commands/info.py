"""``mlflow-archive info``: what is in an archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from mlflow_archive.format.earlier import At
from mlflow_archive.format.gaps import GAPS
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.inspection.summary import Summary, summarize
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import output, warn
from mlflow_archive_cli.parameters import ARCHIVE
from mlflow_archive_cli.printable import size, text_of
from mlflow_archive_cli.selecting import json_option
from mlflow_archive_cli.table import Section, pairs


@click.command("info")
@click.argument("archive", type=ARCHIVE)
@base_option
@at_option
@json_option
def command(archive: ArchivePlace, base: ArchivePlace | None, at: At | None, as_json: bool) -> None:
    """Say what is in ARCHIVE, from where, when, and how large it is.

    \b
    Example:
      mlflow-archive info backup.mlfa
    """
    with opened_archive(archive, base, at) as opened:
        for problem in opened.problems:
            warn(f"warning: {problem}; run `mlflow-archive verify {archive}`")
        summary = summarize(opened)
    output(as_json=as_json).document(summary.to_json(), _sections(summary))


def _sections(summary: Summary) -> Iterator[Section]:
    facts = {"archive": summary.path, "archive id": summary.archive_id, "form": summary.form, "format": summary.version}
    if summary.last_export is not None:
        facts["as it was"] = f"after export {len(summary.exports)} of {summary.last_export}"
    yield pairs("", facts | ({"features": ", ".join(summary.features)} if summary.features else {}))
    if summary.elsewhere is not None:
        place = summary.elsewhere
        lying = f"{place.members} members, {size(place.bytes)}"
        yield pairs("a delta: only what is new lies in it", {"base": place.base, "in the base": lying})
    columns = ("export", "created (UTC)", "runs", "gaps", "source", "MLflow", "tool", "selection")
    rows = [tuple(text_of(value) for value in _export(export)) for export in summary.exports]
    yield Section(title="exports", columns=columns, rows=rows, right=(0, 2, 3))
    counts: dict[str, Any] = {}
    for name, count in summary.counts.items():
        if count and name not in ("blobs", "fingerprints", "gaps"):
            counts[name] = f"at most {count}" if name in summary.inexact else count
    yield pairs("counts", counts)
    yield pairs("sizes", _sizes(summary))
    yield pairs("gaps", {f"{GAPS.get(code, code)} [{code}]": count for code, count in summary.gaps.items()})


def _export(export: dict[str, Any]) -> tuple[object, ...]:
    source = export["source"]
    selection = ", ".join(f"{name}={value}" for name, value in export["selection"].items()) or "everything"
    if redaction := export.get("redaction"):
        selection += f"; redacted by {', '.join(redaction['names']) or 'rules ' + redaction['rules'][:12]}"
    runs = export["counts"].get("runs", 0)
    version = source.get("mlflow_version")
    where = (source.get("uri"), version, export["tool"], selection)
    steps = export.get("compacted", [])
    number = " ".join([str(export["number"]), *(f"(was {step['number']})" for step in steps[-1:])])
    return (number, export["created"], runs, export["gaps"], *where)


def _sizes(summary: Summary) -> dict[str, str]:
    sizes = summary.sizes
    lines = {"archive": size(sizes.total), "tables": size(sizes.tables)}
    if sizes.ratio is not None and summary.elsewhere is None:  # else artifacts may lie in the base
        lines["artifacts"] = size(sizes.artifacts)
        lines["distinct artifacts"] = size(sizes.blobs)
        lines["stored in packs"] = f"{size(sizes.packs)}, the artifacts are {sizes.ratio:.2f} times that"
    return lines
