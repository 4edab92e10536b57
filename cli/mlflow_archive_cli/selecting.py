"""Options that several verbs share: what of a source is meant, and how much is shown meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final

import click

from mlflow_archive.kinds import KINDS, REGISTERED_MODEL
from mlflow_archive.selecting.selection import ALL, MODELS, PROMPTS
from mlflow_archive_cli.parameters import LOCAL_PATH, pair_of

_PARTS: Final = {"registered-models": MODELS, "prompts": PROMPTS}
"""The words for the two parts of the registry."""
WORDS: Final = (*dict.fromkeys(kind.word for kind in KINDS.values() if kind.word), *_PARTS)
"""What ``--only`` and ``--without`` name."""

experiment_option = click.option(
    "--experiment",
    "experiments",
    metavar="PATTERN",
    multiple=True,
    help="Only experiments with this id or name, or whose name matches this glob. Repeatable.",
)
run_option = click.option("--run", "runs", metavar="ID", multiple=True, help="Only the run with this id. Repeatable.")
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Show no progress and no summary, only what went wrong."
)
progress_option = click.option(
    "--progress",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How progress is told on stderr: for people, or each second as a line of JSON.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Answer in CSV.")
signers_option = click.option(
    "--signers",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Check the signatures beside the archive against this list of allowed signers, as ssh-keygen takes it.",
)
tsa_ca_option = click.option(
    "--tsa-ca",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Check time-stamps of signatures against these certificates of authorities (PEM), down to their roots.",
)

artifact_map_option = click.option(
    "--artifact-map",
    type=pair_of("FROM=TO"),
    metavar="FROM=TO",
    multiple=True,
    help="Artifacts whose URI starts with FROM lie in TO now: a folder, of databases also a URL. Repeatable.",
)
artifacts_destination_option = click.option(
    "--artifacts-destination",
    metavar="DIR_OR_URL",
    help="Of a database: the folder or URL behind mlflow-artifacts: URIs, the same word as in `mlflow server`.",
)
processes_option = click.option(
    "--processes",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Work with so many processes of this machine, in place of threads.",
)
dask_option = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Work with the workers of the Dask cluster whose scheduler has this address (tcp://HOST:8786). All must be "
    "able to open what is read and written; credentials are those of each worker's environment.",
)
key_file_option = click.option(
    "--key-file",
    type=LOCAL_PATH,
    metavar="FILE",
    help="The key of pseudonyms: what this file holds. Whoever has it can tell which value a pseudonym stands for.",
)

model_option = click.option(
    "--model",
    "models",
    metavar="PATTERN",
    multiple=True,
    help="Only registered models and prompts with this name, or whose name matches this glob, and the runs, logged "
    "models and experiments they stand on. Repeatable.",
)
only_option = click.option(
    "--only",
    type=click.Choice(WORDS),
    multiple=True,
    help="Only objects of this kind; the registry is registered models and prompts. Repeatable.",
)
without_option = click.option(
    "--without", type=click.Choice(WORDS), multiple=True, help="Leave out objects of this kind. Repeatable."
)
_OPTIONS: Final = (
    experiment_option,
    run_option,
    click.option(
        "--with-parents",
        is_flag=True,
        help="With runs that are named, those above them in nested runs, on every level.",
    ),
    click.option(
        "--with-children", is_flag=True, help="With runs that are named, those nested below them, on every level."
    ),
    model_option,
    click.option(
        "--versions",
        metavar="[NAME=]N,N",
        multiple=True,
        help="Of registered models and prompts only the versions with these numbers; with NAME= of that one. "
        "Repeatable.",
    ),
    click.option(
        "--stages",
        metavar="STAGE,STAGE",
        help="Of registered models only the versions in these stages; prompts have none.",
    ),
    click.option(
        "--latest-versions",
        type=click.IntRange(1),
        metavar="N",
        help="Of each registered model and prompt only the N newest of the versions that are not left out otherwise.",
    ),
    click.option(
        "--evaluation-dataset",
        "evaluation_datasets",
        metavar="PATTERN",
        multiple=True,
        help="Only evaluation datasets with this id or name, or whose name matches this glob, and the experiments to "
        "which they belong; beside what --run or --model name. Repeatable.",
    ),
    only_option,
    without_option,
)


def selecting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say by name what is meant; ``what_is_named`` reads them."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def what_is_named(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a Selection that these options say. Raises UsageError where no kind is left."""
    kinds, registry = selected_kinds(options["only"], options["without"])
    return {
        "experiments": options["experiments"],
        "runs": options["runs"],
        "parents": options["with_parents"],
        "children": options["with_children"],
        "models": options["models"],
        "versions": options["versions"],
        "stages": tuple(stage.strip() for stage in (options["stages"] or "").split(",") if stage.strip()),
        "latest_versions": options["latest_versions"],
        "evaluation_datasets": options["evaluation_datasets"],
        "kinds": kinds,
        "registry": registry,
    }


def selected_kinds(only: Sequence[str], without: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the kinds that ``--only`` and ``--without`` leave, empty for all, and what of the registry.

    Raises UsageError where nothing is left.

    >>> selected_kinds(["runs", "prompts"], []), selected_kinds(["registry"], ["prompts"])
    ((('run', 'registered_model'), 'prompts'), (('registered_model',), 'models'))
    """
    if not only and not without:
        return (), ALL
    words = (set(_in_parts(only)) if only else {*WORDS, *_PARTS}) - set(_in_parts(without))
    parts = [part for word, part in _PARTS.items() if word in words]
    registry = parts[0] if len(parts) == 1 else ALL
    taken = [
        kind.name
        for kind in KINDS.values()
        if (parts if kind.name == REGISTERED_MODEL else kind.word in words) and kind.word
    ]
    if not taken:
        raise click.UsageError("--only and --without leave nothing to take")
    return (() if not only and taken == _ALL_KINDS else tuple(taken)), registry


def _in_parts(words: Sequence[str]) -> list[str]:
    """Return words with that for the registry replaced by those for its parts."""
    registry = KINDS[REGISTERED_MODEL].word
    return [part for word in words for part in (_PARTS if word == registry else [word])]


_ALL_KINDS: Final = [kind.name for kind in KINDS.values() if kind.word]
