"""The entry point: finds the verb, and turns errors into one sentence and an exit code, here and nowhere else.

Exit codes: 0 done · 1 failed · 2 usage · 3 done but incomplete · 10 not an archive · 11 format too new · 12 archive
damaged · 13 server unreachable or refused · 14 a signature or key is not accepted · 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, NoReturn

import click

from mlflow_archive import __version__
from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.optional import start_arrow_alone
from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.streams import outlive_readers, prepare_streams

INTERRUPTED: Final = 130

_MODULES: Final = MappingProxyType(
    {
        "export": ("export", "Read an MLflow server or file store into an archive."),
        "import": ("import_", "Replay an archive into a tracking server or store."),
        "copy": ("copy", "Copy a server, database or folder into a tracking server."),
        "restore": ("restore", "Put an archive into a backend database, with every id kept."),
        "retire": ("retire", "Delete at a source what an archive holds of it."),
        "undo": ("undo", "Take back what a receipt says was done."),
        "verify": ("verify", "Check that an archive is what was committed."),
        "scan": ("scan", "Look for credentials, addresses and account numbers in an archive."),
        "redact": ("redact", "Write an archive without what must not leave the house."),
        "repair": ("repair", "Write a sound archive from a damaged one and other copies."),
        "join": ("join", "Write one archive from a base and deltas of it."),
        "compact": ("compact", "Write an archive with some exports of another, and nothing else."),
        "index": ("index", "Write a small file for deltas where their base is not at hand."),
        "sign": ("sign", "Sign an archive, and have its signatures time-stamped."),
        "pack": ("pack", "Pack an archive for the road: encrypted, in volumes, with parity."),
        "unpack": ("unpack", "Put volumes together again, mended where that is needed."),
        "info": ("info", "Say what is in an archive, from where, when, and its size."),
        "ls": ("ls", "List experiments, runs, models, traces or any other objects."),
        "show": ("show", "Show everything about a run or another object."),
        "sql": ("sql", "Answer a SQL query over all tables."),
        "diff": ("diff", "List what differs between two archives or sources."),
        "serve": ("serve", "Show an archive in MLflow's own web pages, read-only."),
        "report": ("report", "Write one HTML page about an archive, for an auditor."),
        "history": ("history", "Draw metrics of a run over their steps."),
        "tree": ("tree", "Draw the artifacts of an object as a tree."),
        "cat": ("cat", "Write one artifact to stdout."),
        "extract": ("extract", "Write artifacts of runs into a folder."),
    }
)
_READING: Final = frozenset(
    {"verify", "compact", "pack", "unpack", "info", "ls", "show", "tree", "report", "cat", "extract"}
)
_WORKING: Final = frozenset(
    {
        "export",
        "import",
        "copy",
        "restore",
        "verify",
        "scan",
        "redact",
        "repair",
        "join",
        "compact",
        "index",
        "sign",
        "pack",
        "unpack",
        "diff",
    }
    | {"report", "extract", "retire", "undo"}
)
"""Whose exit code is what they are called for: they go on to their end although nobody reads what they print."""


class _ReaderGoneError(Exception):
    """Whoever read our stdout has gone."""


class Commands(click.Group):
    """The verbs, each imported when it is called: the import of MLflow alone takes seconds."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click itself would end the process with 1
            raise _ReaderGoneError from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _MODULES and (near := get_close_matches(args[0], _MODULES, 3)):
            raise click.UsageError(f"there is no command {args[0]!r}; did you mean {' or '.join(near)}?", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        if ctx.obj is _OWN_PROCESS and cmd_name in _READING:
            _start_without_numpy()
        elif ctx.obj is _OWN_PROCESS and cmd_name == "export":
            start_arrow_alone()
        module = importlib.import_module(f"mlflow_archive_cli.commands.{_MODULES[cmd_name][0]}")
        if ctx.obj is _OWN_PROCESS:
            if cmd_name in _WORKING:
                outlive_readers()
            gc.freeze()  # what was imported need not be looked through again and again
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _MODULES.items()])


_OWN_PROCESS: Final = object()


def _start_without_numpy() -> None:
    """Make pyarrow's optional import of numpy fail: it takes half of the time in which a reading command starts.

    Nothing that reads an archive uses numpy. Only done in the command's own process, never where the library is used.
    """
    if "numpy" not in sys.modules and "pyarrow" not in sys.modules:
        sys.modules["numpy"] = None  # type: ignore[assignment]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mlflow-archive", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="On an error, show where in the program it happened.")
def commands(debug: bool) -> None:
    """Turn an MLflow tracking server into one self-describing archive, look inside it, and bring it back.

    \b
    Example:
      mlflow-archive export backup.mlfa --from http://127.0.0.1:5000
    """


def run(arguments: Sequence[str], *, own_process: bool = False) -> int:
    """Run a command and return its exit code; errors are reported on stderr, in one sentence."""
    debug = "--debug" in arguments[:1]
    try:
        code = commands.main(
            list(arguments),
            prog_name="mlflow-archive",
            standalone_mode=False,
            obj=_OWN_PROCESS if own_process else None,
        )
        sys.stdout.flush()
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _tell("interrupted; run the same command again to continue", debug=debug)
        return INTERRUPTED
    except (_ReaderGoneError, BrokenPipeError):
        return _reader_went_away()
    except MlflowArchiveError as error:
        _tell(*error.lines, debug=debug)
        return error.exit_code
    except OSError as error:
        _tell(_explain(error), debug=debug)
        return 1
    return code if isinstance(code, int) else 0


def _tell(*lines: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    # Names in it may steer the terminal.
    click.echo("\n".join(map(one_line, (f"mlflow-archive: {lines[0]}", *lines[1:]))), err=True)


def _explain(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return " ".join((f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason).split())


def _reader_went_away() -> int:
    """Whoever read our output has enough; Python would complain about it once more at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return 1
    return 0


def main() -> None:
    """Run the command line of this process and exit."""
    # What MLflow tells of its own doings (tables created, defaults chosen) is not part of an answer of ours.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # Arrow is not imported yet. The allocator of the C library gives back what is not used any more: an export of 5
    # million points peaks at 270 MB instead of 370, in the same time.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    prepare_streams()
    leave(run(sys.argv[1:], own_process=True))


def leave(code: int) -> NoReturn:
    """End the process after Python's exit handlers, without its teardown.

    A thread of Arrow that lets go of a Python file while the interpreter is torn down aborts the process now and
    then (apache/arrow issues 34314 and 50482), and a command that has done its work would report failure.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
