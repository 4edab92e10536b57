"""YAML files with structure below their top level, as values that JSON has too.

Text stays the text that was written: a time or a number in quotes is text, and nothing is constructed from YAML tags.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from mlflow_archive.sources.mlruns.meta import MetaUnreadableError, compose_mapping

_MOST_NODES: Final = 1_000_000
_YAML: Final = "tag:yaml.org,2002:"
_TRUE: Final = frozenset({"y", "yes", "true", "on"})
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9_]*)")


def read_document(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises MetaUnreadableError, also where YAML aliases blow it up beyond a million values.
    """
    try:
        document = _Converter(path.name).value(compose_mapping(path))
    except RecursionError as error:
        raise MetaUnreadableError(f"its {path.name} is nested too deeply") from error
    assert isinstance(document, dict)  # noqa: S101 - compose_mapping returns nothing else
    return document


class _Converter:
    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes = 0

    def value(self, node: yaml.Node) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise MetaUnreadableError(f"its {self._name} holds more than {_MOST_NODES} values")
        if isinstance(node, yaml.MappingNode):
            return {self._key(key): self.value(value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        return _scalar(node)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise MetaUnreadableError(f"its {self._name} has a key that is no text")
        return str(node.value)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    kind = node.tag.removeprefix(_YAML)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in _TRUE
    if kind == "int" and _DECIMAL.fullmatch(text):
        return int(text.replace("_", ""))
    if kind == "float" and ":" not in text:
        return float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    return text  # octal, hexadecimal and sexagesimal numbers too, which MLflow never writes
