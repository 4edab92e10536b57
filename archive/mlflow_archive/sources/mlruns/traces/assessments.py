"""Assessments of a trace: ``assessments/<assessment id>.yaml``, one file each, as Protocol Buffers' JSON in YAML.

Values become the JSON text that MLflow's database would hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots.names import is_utf8, printable
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.times import time_ms
from mlflow_archive.sources.mlruns.traces.documents import read_document
from mlflow_archive.sources.reading.gaplist import OnBad
from mlflow_archive.sources.reading.rows import Row

ASSESSMENTS: Final = "assessments"
_SUFFIX: Final = ".yaml"
_SOURCE_RUN: Final = "mlflow.assessment.sourceRunId"
_JSON: Final = "JSON_FORMAT"
_TYPES: Final = ("feedback", "expectation", "issue")


def assessment_rows(trace_folder: Path, bad: OnBad) -> Iterator[Row]:
    """Yield the rows of ``assessments`` of a trace."""
    folder = trace_folder / ASSESSMENTS
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
            yield _row(trace_folder.name, name.removesuffix(_SUFFIX), read_document(folder / name))
        except (MetaUnreadableError, ValueError) as error:
            bad(place, str(error))


def _row(trace_id: str, assessment_id: str, document: Mapping[str, Any]) -> Row:
    """Return an assessment. Raises ValueError for one that lacks something or is malformed."""
    id_in_file = _text(document, "assessment_id")
    if id_in_file not in (None, assessment_id):
        raise ValueError(f"it is the assessment {id_in_file}, but the file is named {assessment_id}")
    kind, value, error = _value(document)
    source = document.get("source")
    source = source if isinstance(source, Mapping) else {}
    metadata = document.get("metadata")
    created = _time(document, "create_time")
    valid = document.get("valid", True)
    name = _text(document, "assessment_name", "name")
    if created is None or name is None or valid not in (True, False):
        raise ValueError("it lacks a name or a time, or says neither true nor false in valid")
    return {
        "trace_id": trace_id,
        "assessment_id": assessment_id,
        "name": name,
        "assessment_type": kind,
        "value": value,
        "error": error,
        "created_timestamp": created,
        "last_updated_timestamp": _first(_time(document, "last_update_time"), created),
        "source_type": _text(source, "source_type") or "SOURCE_TYPE_UNSPECIFIED",
        "source_id": _text(source, "source_id"),
        "run_id": _text(document, "run_id") or (_text(metadata, _SOURCE_RUN) if _is_filled(metadata) else None),
        "span_id": _text(document, "span_id"),
        "rationale": _text(document, "rationale"),
        "overrides": _text(document, "overrides"),
        "valid": bool(valid),
        "metadata": json.dumps(metadata) if metadata else None,
    }


def _value(document: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Return type, value and error."""
    kinds = [kind for kind in _TYPES if isinstance(document.get(kind), Mapping)]
    if len(kinds) != 1:
        raise ValueError(f"it has {' and '.join(kinds) or 'no value'}, expected one of {', '.join(_TYPES)}")
    kind = kinds[0]
    content = document[kind]
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


def _time(document: Mapping[str, Any], name: str) -> int | None:
    text = document.get(name, document.get(f"{name}_ms"))
    return None if text is None else time_ms(str(text))


def _text(document: object, *names: str) -> str | None:
    """Return the first of these fields that is not null. Raises ValueError where that is not text."""
    for name in names:
        value = document.get(name) if isinstance(document, Mapping) else None
        if value is not None:
            if isinstance(value, Mapping | list):
                raise ValueError(f"{name} is no text")
            return str(value)
    return None


def _is_filled(metadata: object) -> bool:
    return isinstance(metadata, Mapping) and bool(metadata)


def _first(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
