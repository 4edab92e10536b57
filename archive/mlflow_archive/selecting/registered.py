"""Names of registered models and prompts of a catalog, and their versions, as far as a selection must know them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from mlflow_archive.selecting.catalog import Catalog, records
from mlflow_archive.selecting.selection import ALL, PROMPTS

_IS_PROMPT: Final = "mlflow.prompt.is_prompt"
_VERSION: Final = ("name", "workspace", "version", "current_stage")


def names_in_registry(catalog: Catalog, registry: str) -> Iterator[str]:
    """Yield the names of registered models, of prompts, or of both, as ``Selection.registry`` says.

    One name in two workspaces may be that of both.
    """
    if registry == ALL:
        yield from (row["name"] for row in records(catalog, "registered_models", ("name",)))
        return
    tags = records(catalog, "registered_model_tags", ("name", "workspace", "key", "value"), ("key", (_IS_PROMPT,)))
    prompts = {(tag["name"], tag["workspace"]) for tag in tags if (tag["value"] or "").lower() == "true"}
    for row in records(catalog, "registered_models", ("name", "workspace")):
        if ((row["name"], row["workspace"]) in prompts) == (registry == PROMPTS):
            yield row["name"]


def version_rows(catalog: Catalog, names: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the versions of some registered models, deleted ones where the source keeps them."""
    return list(records(catalog, "model_versions", _VERSION, ("name", names))) if names else []
