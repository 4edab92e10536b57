"""``mlflow-archive serve``: MLflow's web pages on an archive."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from mlflow_archive.api.serving.server import serve
from mlflow_archive.format.earlier import At
from mlflow_archive_cli.opening import at_option
from mlflow_archive_cli.output import warn
from mlflow_archive_cli.parameters import LOCAL_PATH
from mlflow_archive_cli.progress import watch
from mlflow_archive_cli.selecting import quiet_option


@click.command("serve")
@click.argument("archive", type=LOCAL_PATH)
@at_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="The port; 0 takes a free one."
)
@click.option("--open", "opens", is_flag=True, help="Open the page in your browser.")
@quiet_option
def command(archive: Path, at: At | None, host: str, port: int, opens: bool, quiet: bool) -> None:
    """Show ARCHIVE in MLflow's own web pages, read-only, until Ctrl-C.

    The first time its rows go into a SQLite file below ~/.cache/mlflow-archive; artifacts are read from the archive.
    Needs full MLflow: pip install 'mlflow-archive[server]'.

    \b
    Example:
      mlflow-archive serve backup.mlfa --open
    """

    def ready(url: str) -> None:
        click.echo(url)
        if not quiet:
            warn("read-only; Ctrl-C ends it")
        if opens:
            webbrowser.open(url)

    serve(archive, at=at, host=host, port=port, ready=ready, progress=watch("serve", quiet=quiet))
