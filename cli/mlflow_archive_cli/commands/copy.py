"""``mlflow-archive copy``: from one server, database or folder into a tracking server or store, in one command."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from mlflow_archive.api.copying import copy_server
from mlflow_archive.api.verbs import ExportOptions
from mlflow_archive.format.location import without_password
from mlflow_archive_cli.commands import export, import_
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.output import list_gaps
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.receipt import ReceiptFile

_OF_A_SOURCE: Final = frozenset(
    {"experiments", "runs", "with_parents", "with_children", "models", "versions", "stages", "latest_versions"}
    | {"evaluation_datasets", "only", "without", "filter_string", "trace_filter", "since", "until", "no_deleted"}
    | {"on_missing", "no_artifacts", "artifact_glob", "max_artifact_size", "artifact_map", "artifacts_destination"}
)
"""What an export reads, and from where; what else an export takes is not taken here, as nothing would come of it."""
_OF_AN_ARCHIVE: Final = frozenset({"archive", "base", "at", "uri"})
_READING: Final = [option for option in export.command.params if option.name in _OF_A_SOURCE]
"""The options of an export that say what is read, and how."""
_READ: Final = {option.name for option in _READING}
_WRITING: Final = [option for option in import_.command.params if option.name not in _OF_AN_ARCHIVE | _READ]
"""The options of an import but for those that both have."""


@click.command("copy", params=[click.Argument(["source"]), click.Argument(["target"]), *_READING, *_WRITING])
@click.pass_context
def command(ctx: click.Context, /, source: str, target: str, receipt: Path | None, quiet: bool, **options: Any) -> None:
    """Copy SOURCE into TARGET, as an export and an import do, by way of a temporary archive.

    SOURCE is what an export reads: an http(s):// server, a backend database, an mlruns folder or exim:DIR. TARGET is
    what an import writes to. The temporary archive lies where temporary files do (TMPDIR), which needs the room, and is
    removed in the end. Running it again changes nothing and completes what was interrupted. --dry-run reads no files.

    \b
    Example:
      mlflow-archive copy http://127.0.0.1:5000 http://127.0.0.1:5001 --experiment 'churn*' --receipt receipt.json
    """
    selection = export.selection_asked(options)
    manner = import_.replay_asked(options)
    reading = ExportOptions(
        artifact_map=options["artifact_map"], artifacts_destination=options["artifacts_destination"]
    )
    shown = without_password(source)
    with ReceiptFile(receipt, {"source": shown, "dry_run": options["dry_run"]}) as file:
        done = copy_server(
            source,
            target,
            manner,
            selection,
            reading=reading,
            watch=partial(watch, quiet=quiet, form=options["form"]),
            begun=file.begin,
        )
        file.end(done)
    if not quiet:
        verb = "would copy" if options["dry_run"] else "copied"
        import_.tell_what_came(f"{verb} {one_line(shown)} to {done.details['target']}", done)
    if not done.complete:
        list_gaps(done.gaps, len(done.gaps), sentence="things could not be copied", option="--receipt")
        ctx.exit(3)
