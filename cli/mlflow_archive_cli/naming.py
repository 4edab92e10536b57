"""Options of what an import calls things: renamed one by one, by a file, or put behind a prefix; one scheme for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from mlflow_archive.sinks.replay.names import joined, read_renames
from mlflow_archive_cli.parameters import LOCAL_PATH, pair_of

_NAMED: Final = {
    "experiment": ("experiment", "experiments"),
    "model": ("registered model or prompt", "registered models and prompts"),
    "evaluation-dataset": ("evaluation dataset", "evaluation datasets"),
}
"""The word of an option, and what it is about: one of these, and several."""
_Function = TypeVar("_Function", bound=Callable[..., Any])


def naming_options(function: _Function) -> _Function:
    """Add three options for each kind of what has a name."""
    for word, (singular, plural) in reversed(_NAMED.items()):
        for option in (
            click.option(
                f"--{word}-prefix", metavar="TEXT", default="", help=f"Put this before the name of every {singular}."
            ),
            click.option(
                f"--rename-{word}s",
                f"{_field(word)}_file",
                type=LOCAL_PATH,
                metavar="FILE",
                help=f"Import {plural} under other names: lines old,new, or a JSON object.",
            ),
            click.option(
                f"--rename-{word}",
                _field(word),
                type=pair_of("OLD=NEW"),
                metavar="OLD=NEW",
                multiple=True,
                help=f"Import the {singular} OLD under the name NEW; OLD* and NEW* are how names begin. Repeatable.",
            ),
        ):
            function = option(function)
    return function


def names_asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options say, by fields of ReplayOptions; one name by one wins over a file.

    Raises SelectionError for a file that is none, and for a name that gets two.
    """
    fields: dict[str, Any] = {}
    for word in _NAMED:
        field, file = _field(word), options[f"{_field(word)}_file"]
        single = joined(options[field], place=f"--rename-{word}")
        fields[field] = {**(read_renames(file) if file is not None else {}), **single}
        prefix = f"{word.replace('-', '_')}_prefix"
        fields[prefix] = options[prefix]
    return fields


def _field(word: str) -> str:
    return f"rename_{word.replace('-', '_')}"
