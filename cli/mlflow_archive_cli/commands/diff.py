"""``mlflow-archive diff``: what differs between two archives, servers, databases or folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import click

from mlflow_archive.api.as_archive import as_archive
from mlflow_archive.api.diffing import Comparison, FieldChange, ObjectChange, differences, hidden_columns
from mlflow_archive.selecting.selection import Selection
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.output import JsonOutput, plain, warn
from mlflow_archive_cli.printable import text_of
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import json_option, quiet_option

_LONGEST = 100
_SIGN = {"added": "+", "removed": "-", "changed": "~"}


@click.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--no-artifacts", is_flag=True, help="Do not compare artifacts; of a server they are not even read then.")
@click.option("--no-locations", is_flag=True, help="Do not compare where artifacts lie; after a move that differs.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="How many threads read.")
@json_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    before: str,
    after: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """List which objects were added, removed or changed from BEFORE to AFTER, field by field.

    Each is an archive, an http(s):// server, a backend database or an mlruns folder; all but archives are read into a
    temporary one first. Objects are matched by kind and id. The exit code is 1 where anything differs. With --json
    each line is one object.

    \b
    Example:
      mlflow-archive diff monday.mlfa tuesday.mlfa
    """
    artifacts, locations, jobs = not options["no_artifacts"], not options["no_locations"], options["jobs"]
    selection = Selection(artifacts=artifacts)
    with (
        watch("diff", quiet=quiet) as progress,
        as_archive(before, selection=selection, jobs=jobs, progress=progress) as old,
        as_archive(after, selection=selection, jobs=jobs, progress=progress) as new,
    ):
        hidden = hidden_columns(old, new)
        comparison = Comparison(artifacts=artifacts, locations=locations, hidden=hidden)
        counts = _tell(differences(old, new, comparison), as_json=as_json)
    if hidden and not quiet:
        warn(f"not compared, as one side shows no value of them: {', '.join(sorted(hidden))}")
    if not quiet and not as_json:
        warn(", ".join(f"{number} {change}" for change, number in sorted(counts.items())) or "no difference")
    if counts:
        ctx.exit(1)


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
