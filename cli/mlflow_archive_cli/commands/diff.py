"""``mlflow-archive diff``: what differs between two archives, servers, databases or folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from mlflow_archive.api.announced import Announced
from mlflow_archive.api.as_archive import as_archive
from mlflow_archive.api.differences import Comparison, FieldChange, ObjectChange, differences, hidden_columns
from mlflow_archive.api.diffing import other_side
from mlflow_archive.api.receipts import read_receipts
from mlflow_archive.selecting.selection import Selection
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.opening import at_option
from mlflow_archive_cli.output import JsonOutput, plain, warn, write_json
from mlflow_archive_cli.parameters import LOCAL_PATH, export_or_time, output_file
from mlflow_archive_cli.printable import text_of
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, quiet_option

if TYPE_CHECKING:
    from mlflow_archive.api.proof.evidence import Proof

_LONGEST = 100
_SIGN = {"added": "+", "removed": "-", "changed": "~"}


@click.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@at_option
@click.option(
    "--against",
    type=export_or_time,
    metavar="N|DATE",
    help="AFTER as it was after that export; without AFTER, the archive BEFORE itself: what came between two exports.",
)
@click.option("--no-artifacts", is_flag=True, help="Do not compare artifacts; of a server they are not even read then.")
@click.option("--no-locations", is_flag=True, help="Do not compare where artifacts lie; after a move that differs.")
@click.option(
    "--imported",
    is_flag=True,
    help="BEFORE is an archive, AFTER the server it was imported into: prove that all of it is there. Ids are mapped "
    "by the receipt, else by source tags; what the target cannot hold is named and not counted.",
)
@click.option(
    "--receipt",
    "receipts",
    type=LOCAL_PATH,
    metavar="FILE",
    multiple=True,
    help="With --imported the receipt of the import, with ids, options and refusals; repeatable, for an import that "
    "was repeated. Else that of a restore of BEFORE into AFTER: what it announced is not counted.",
)
@click.option(
    "--evidence",
    type=output_file,
    metavar="FILE",
    help="Write what --imported compared and found to this file, as JSON.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="How many threads read.")
@json_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    before: str,
    after: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """List which objects were added, removed or changed from BEFORE to AFTER, field by field.

    Each is an archive, an http(s):// server, a backend database or an mlruns folder; all but archives are read into a
    temporary one first. With --at alone the archive BEFORE is compared as it was with what it is now, with --against
    with what it was then. Objects are matched by kind and id. The exit code is 1 where anything differs. With --json
    each line is one object. With --imported, 0 means proved, and 3 that nothing differs but what the import refused.

    \b
    Example:
      mlflow-archive diff monday.mlfa tuesday.mlfa
      mlflow-archive diff backup.mlfa --at 1 --against 3
      mlflow-archive diff backup.mlfa http://127.0.0.1:5000 --imported --receipt receipt.json --evidence proof.json
    """
    counterpart = other_side(before, after, options["at"], options["against"], imported=options["imported"])
    if options["imported"]:
        _prove(ctx, before, counterpart, as_json=as_json, quiet=quiet, **options)
        return
    if options["evidence"]:
        raise click.UsageError("--evidence is for --imported")
    artifacts, locations, jobs = not options["no_artifacts"], not options["no_locations"], options["jobs"]
    selection = Selection(artifacts=artifacts)
    with (
        watch("diff", quiet=quiet) as progress,
        as_archive(before, selection=selection, jobs=jobs, progress=progress, at=options["at"]) as old,
        as_archive(counterpart, selection=selection, jobs=jobs, progress=progress, at=options["against"]) as new,
    ):
        hidden = hidden_columns(old, new)
        announced = Announced(read_receipts(options["receipts"], old))
        comparison = Comparison(artifacts=artifacts, locations=locations, hidden=hidden, announced=announced)
        expected: list[ObjectChange] = []
        counts = _tell(_others(differences(old, new, comparison), announced, expected), as_json=as_json)
    if not quiet:
        _tell_announced(announced, expected)
    if hidden and not quiet:
        warn(f"not compared, as one side shows no value of them: {', '.join(sorted(hidden))}")
    if not quiet and not as_json:
        warn(", ".join(f"{number} {change}" for change, number in sorted(counts.items())) or "no difference")
    if counts:
        ctx.exit(1)


def _others(
    changes: Iterator[ObjectChange], announced: Announced, expected: list[ObjectChange]
) -> Iterator[ObjectChange]:
    """Yield what no restore announced of some changes, and add what it did to ``expected``."""
    for change in changes:
        for part, is_announced in announced.split(change):
            if is_announced:
                expected.append(part)
            else:
                yield part


def _tell_announced(announced: Announced, expected: list[ObjectChange]) -> None:
    for change, number in announced.numbers.items():
        warn(f"not counted, as the restore announced: {number} {change.replace('_', ' ')}")
    for part in expected:
        for line in _lines(part.fields):
            warn(f"not counted, as the restore announced: {part.kind.replace('_', ' ')} {one_line(part.id)} {line}")


def _prove(ctx: click.Context, before: str, after: str, *, as_json: bool, quiet: bool, **options: Any) -> None:
    """Compare an archive with the server it was imported into."""
    if options["no_locations"]:
        raise click.UsageError("--no-locations does not go with --imported, which never counts places")
    with watch("diff", quiet=quiet) as progress:
        from mlflow_archive.api.proof.proof import prove  # noqa: PLC0415 - the plans of an import bring MLflow's API

        proof = prove(
            before,
            after,
            receipt=options["receipts"],
            artifacts=not options["no_artifacts"],
            jobs=options["jobs"],
            progress=progress,
            at=options["at"],
        )
    counts = _tell(iter(proof.changes), as_json=as_json)
    if options["evidence"] is not None:
        write_json(options["evidence"], plain(dict(proof.evidence)))
    if not quiet and not as_json:
        _tell_proof(proof, counts)
    if counts or proof.refused:
        ctx.exit(1 if counts else 3)


def _tell_proof(proof: Proof, counts: Counter[str]) -> None:
    """Say what was compared, and what was named and not counted."""
    for entry in proof.not_counted:
        warn(f"not counted: {entry['count']} of {entry['place']} ({entry['rule']})")
    for entry in proof.refused:
        warn(f"refused by the import: {entry['kind'].replace('_', ' ')} {one_line(entry['id'])} ({entry['code']})")
    compared = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in proof.objects.items() if number)
    warn(f"compared: {compared}")
    summary = ", ".join(f"{number} {change}" for change, number in sorted(counts.items()))
    warn(summary or ("nothing differs but what the import refused" if proof.refused else "proved: all of it is there"))


def _tell(changes: Iterator[ObjectChange], *, as_json: bool) -> Counter[str]:
    counts: Counter[str] = Counter()
    for change in changes:
        counts[change.change] += 1
        if as_json:
            document: dict[str, Any] = plain(change.to_json())
            JsonOutput().rows(list(document), [document])
            continue
        click.echo(f"{_SIGN[change.change]} {change.kind.replace('_', ' ')} {one_line(change.id)}")
        for line in _lines(change.fields):
            click.echo(f"    {line}")
    return counts


def _lines(fields: Sequence[FieldChange]) -> Iterator[str]:
    for field in fields:
        key = " ".join(one_line(str(value)) for value in field.key.values())
        place = ".".join(part for part in (field.table, key, field.field) if part)
        yield f"{place}: {_shown(field.before)} → {_shown(field.after)}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{name}={text_of(inner)}" for name, inner in value.items()) or "(there)"
    text = "(not there)" if value is None else text_of(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
