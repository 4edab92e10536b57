"""Assessments of a trace: ``assessments/<assessment id>.yaml``, one file each, as Protocol Buffers' JSON in YAML.

Values become the JSON text that MLflow's database would hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mlflow_archive.artifact_roots.names import is_utf8, printable
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError, compose_mapping
from mlflow_archive.sources.mlruns.times import time_ms
from mlflow_archive.sources.reading.fields import Fields, refuse, row_of, text_of
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.rows import Row

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


ASSESSMENTS: Final = "assessments"
_SUFFIX: Final = ".yaml"
_SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"
_JSON: Final = "JSON_FORMAT"
_TYPES: Final = ("feedback", "expectation", "issue")


def assessment_rows(trace_folder: Path, gaps: GapList) -> Iterator[Row]:
    """Yield the rows of ``assessments`` of a trace."""
    folder, bad = trace_folder / ASSESSMENTS, gaps.under("")
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        bad(ASSESSMENTS, f"the folder cannot be listed: {error.strerror}")
        return
    for name in names:
        if not name.endswith(_SUFFIX):
            continue
        place = f"{ASSESSMENTS}/{printable(name)}"
        if not is_utf8(name):
            bad(place, "its file has a name that is not UTF-8")
            continue
        try:
            assessment = Fields(read_document(folder / name), refuse, path=ASSESSMENTS)
            yield _row(trace_folder.name, name.removesuffix(_SUFFIX), assessment)
        except (MetaUnreadableError, ValueError) as error:
            bad(place, str(error))
        else:
            gaps.unread += assessment.unread()


def _source_run(metadata: object) -> str | None:
    run_id = metadata.get(_SOURCE_RUN) if isinstance(metadata, Mapping) else None
    return None if run_id is None else text_of(run_id)


def _row(trace_id: str, assessment_id: str, assessment: Fields) -> Row:
    """Return an assessment. Raises ValueError for one that lacks something or is malformed."""
    id_in_file = assessment.text("assessment_id")
    if id_in_file not in (None, assessment_id):
        raise ValueError(f"it is the assessment {id_in_file}, but the file is named {assessment_id}")
    kind, value, error = _value(assessment)
    source, metadata = assessment.object("source"), assessment.value("metadata")
    created, updated = (_time(assessment, name) for name in ("create_time", "last_update_time"))
    valid = assessment.flag("valid")
    name = assessment.text("assessment_name", "name")
    if created is None or name is None:
        raise ValueError("it lacks a name or a time")
    return row_of(
        "assessments",
        assessment,
        trace_id=trace_id,
        assessment_id=assessment_id,
        name=name,
        assessment_type=kind,
        value=value,
        error=error,
        created_timestamp=created,
        last_updated_timestamp=created if updated is None else updated,
        source_type=source.text("source_type") or "SOURCE_TYPE_UNSPECIFIED",
        source_id=source.text("source_id"),
        run_id=assessment.text("run_id") or _source_run(metadata),
        valid=valid is not False,
        metadata=json.dumps(metadata) if metadata else None,
    )


def _value(assessment: Fields) -> tuple[str, str, str | None]:
    """Return type, value and error."""
    kinds = [kind for kind in _TYPES if isinstance(assessment.value(kind), Mapping)]
    if len(kinds) != 1:
        raise ValueError(f"it has {' and '.join(kinds) or 'no value'}, expected one of {', '.join(_TYPES)}")
    kind = kinds[0]
    content = assessment.value(kind)
    assessment.object(kind).known(*(content if kind == "issue" else ("value", "error", "serialized_value")))
    if kind == "issue":
        return kind, json.dumps(content), None
    if "serialized_value" in content:
        return kind, _serialized(content["serialized_value"]), None
    error = content.get("error")
    # As mlflow.entities.AssessmentError.to_dictionary has it.
    fields = ("error_code", "error_message", "stack_trace")
    error_text = json.dumps({**dict.fromkeys(fields), **error}) if isinstance(error, Mapping) and error else None
    return kind, json.dumps(content.get("value")), error_text


def _serialized(content: object) -> str:
    form = content.get("serialization_format") if isinstance(content, Mapping) else None
    value = content.get("value") if isinstance(content, Mapping) else None
    if form != _JSON or not isinstance(value, str):
        raise ValueError(f"its value is serialized as {form!r}, expected {_JSON}")
    return value


def _time(assessment: Fields, name: str) -> int | None:
    text = assessment.text(name, f"{name}_ms")
    return None if text is None else time_ms(text)
