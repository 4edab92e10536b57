"""``meta.yaml`` and its like: the scalars MLflow keeps of an experiment, run, dataset, input, model or trace.

Values stay the text that was written, as MLflow quotes what YAML would take for another type: a run name ``123``
or ``no`` and an id ``0123`` come out as that text, quoted or not. Nothing is constructed from YAML tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlflow_archive.sources.reading.rows import INT64

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

META_FILE = "meta.yaml"
_MAX_META_SIZE = 64 * 1024 * 1024
_NULL = "tag:yaml.org,2002:null"


class MetaUnreadableError(ValueError):
    """A meta.yaml is missing, cannot be read or is not a YAML mapping; the message says which."""


class FieldMalformedError(ValueError):
    """A field of a meta.yaml is not what its name promises; the message says what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The scalars at the top level of a meta.yaml, and the mapping under ``tags`` if that is one."""

    scalars: Mapping[str, str | None]
    tags: Mapping[str, str | None]

    def text(self, *names: str) -> str | None:
        """Return the first of these fields that is not null."""
        return next((value for name in names if (value := self.scalars.get(name)) is not None), None)

    def integer(self, name: str) -> int | None:
        """Return a field that holds a 64-bit number; None if it is absent or null.

        Raises FieldMalformedError for anything else.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            number = int(text)
        except ValueError:
            raise FieldMalformedError(f"{name} is {text!r}, expected a whole number") from None
        if number not in INT64:
            raise FieldMalformedError(f"{name} is {text}, more than 64 bits hold")
        return number


def read_meta(folder: Path, name: str = META_FILE) -> Meta:
    """Read the ``meta.yaml`` of a folder, or a file of another name that is one.

    Raises MetaUnreadableError.
    """
    node = compose_mapping(folder / name)
    tags = next((value for key, value in node.value if key.value == "tags"), None)
    return Meta(scalars=_scalars(node), tags=_scalars(tags) if isinstance(tags, yaml.MappingNode) else {})


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
