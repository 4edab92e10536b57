"""``meta.yaml`` and its like: the scalars MLflow keeps of an experiment, run, dataset, input, model or trace.

Values stay the text that was written, as MLflow quotes what YAML would take for another type: a run name ``123``
or ``no`` and an id ``0123`` come out as that text, quoted or not. Nothing is constructed from YAML tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from mlflow_archive.sources.reading.fields import Fields
from mlflow_archive.sources.reading.gaplist import OnBad

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

META_FILE = "meta.yaml"
_MAX_META_SIZE = 64 * 1024 * 1024
_NULL = "tag:yaml.org,2002:null"


class MetaUnreadableError(ValueError):
    """A meta.yaml is missing, cannot be read or is not a YAML mapping; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The scalars at the top level of a meta.yaml, and the scalars in each mapping and list there."""

    scalars: Mapping[str, str | None] = field(default_factory=dict)
    nested: Mapping[str, Mapping[str, str | None] | Sequence[str]] = field(default_factory=dict)

    def text(self, *names: str) -> str | None:
        """Return the first of these fields that is not null."""
        return next((value for name in names if (value := self.scalars.get(name)) is not None), None)

    def fields(self, bad: OnBad, place: str = "", *, path: str = "") -> Fields:
        """Return the fields on their way into columns."""
        return Fields({**self.scalars, **self.nested}, bad, place, path=path)


def read_meta(folder: Path, name: str = META_FILE) -> Meta:
    """Read the ``meta.yaml`` of a folder, or a file of another name that is one.

    Raises MetaUnreadableError.
    """
    node = compose_mapping(folder / name)
    nested: dict[str, Mapping[str, str | None] | Sequence[str]] = {}
    for key, value in node.value:
        if isinstance(value, yaml.MappingNode):
            nested[str(key.value)] = _scalars(value)
        elif isinstance(value, yaml.SequenceNode):
            nested[str(key.value)] = [str(item.value) for item in value.value]
    return Meta(scalars=_scalars(node), nested=nested)


def compose_mapping(path: Path) -> yaml.MappingNode:
    """Return the YAML mapping in a file as a graph of nodes, of which nothing is constructed.

    Raises MetaUnreadableError.
    """
    name = path.name
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_META_SIZE + 1)
    except FileNotFoundError:
        raise MetaUnreadableError(f"it has no {name}") from None
    except OSError as error:
        raise MetaUnreadableError(f"its {name} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_META_SIZE:
        raise MetaUnreadableError(f"its {name} has more than {_MAX_META_SIZE} bytes")
    try:
        node = yaml.compose(data.decode("utf-8"), Loader=_Loader)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise MetaUnreadableError(f"its {name} is no YAML: {_one_line(error)}") from error
    if node is None:
        raise MetaUnreadableError(f"its {name} is empty")
    if not isinstance(node, yaml.MappingNode):
        raise MetaUnreadableError(f"its {name} is no mapping of names to values")
    return node


def _scalars(node: yaml.MappingNode) -> dict[str, str | None]:
    return {
        key.value: None if value.tag == _NULL else value.value
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    }


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
