"""Put the pages of the site together below build/docs: guides, specification, and a reference made of --help."""

from __future__ import annotations

import html
import inspect
import re
import shutil
import textwrap
from pathlib import Path

import click

from mlflow_archive_cli.main import commands

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "docs"


def reference() -> str:
    """Return the page of all commands as Markdown: of each, what it does, how it is called, and its options."""
    parent = click.Context(commands, info_name="mlflow-archive")
    parts = ["# Commands\n"]
    for name in commands.list_commands(parent):
        command = commands.get_command(parent, name)
        if command is not None:
            parts.append(_section(name, click.Context(command, info_name=name, parent=parent)))
    return "\n".join(parts)


def _section(name: str, context: click.Context) -> str:
    command = context.command
    text, _, example = inspect.cleandoc(command.help or "").replace("\b\n", "").partition("Example:\n")
    usage = " ".join(["mlflow-archive", name, *command.collect_usage_pieces(context)])
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [record for record in records if record is not None and record[1]]
    return "\n".join(
        [
            f"## {name}\n",
            f"`{usage}`\n",
            text,
            f"```sh\n{textwrap.dedent(example).strip()}\n```\n",
            "| option | |",
            "|---|---|",
            *(f"| `{_cell(option)}` | {_cell(html.escape(help_text, quote=False))} |" for option, help_text in rows),
            "",
        ]
    )


def _cell(text: str) -> str:
    """Return a text as a cell of a Markdown table holds it."""
    return text.replace("|", "\\|").replace("\n", " ")


def make() -> None:
    """Write all pages."""
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text("utf-8").replace("](../spec/", "](spec/").replace("](../README.md", "](index.md")
        (TARGET / page.name).write_text(text, encoding="utf-8")
    for picture in sorted((ROOT / "docs").glob("*.[ps][nv]g")):
        shutil.copyfile(picture, TARGET / picture.name)
    not_pages = shutil.ignore_patterns("vectors", "signature-vectors", "*.py", "__pycache__")
    shutil.copytree(ROOT / "spec", TARGET / "spec", ignore=not_pages)
    (TARGET / "commands.md").write_text(reference(), encoding="utf-8")
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        (TARGET / name.lower()).write_text(_from_root((ROOT / name).read_text("utf-8")), encoding="utf-8")
    (TARGET / "index.md").write_text(_from_root((ROOT / "README.md").read_text("utf-8")), encoding="utf-8")


def _from_root(text: str) -> str:
    """Return a page of the repository's root with links as they are on the site."""
    return re.sub(r"\]\((CHANGELOG|CONTRIBUTING|SECURITY)\.md\)", _lower, text.replace("](docs/", "]("))


def _lower(link: re.Match[str]) -> str:
    return link[0].lower()


if __name__ == "__main__":
    make()
