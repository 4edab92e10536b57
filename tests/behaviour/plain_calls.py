"""Calls as text that is the same whenever the same is done: without ids and times that a server gave.

An id of the target that the receipt knows becomes ``<id of the source>``, one that nobody knows ``<new>``; a time
between begin and end of the replay becomes ``<now>``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.behaviour.listening import Call
from tests.conformance.independent_reader import TABLES, Archive

_ID: Final = re.compile(
    r"(?:\b[a-z]{1,4}-)?(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])"
)
_TIME: Final = re.compile(r"(?<!\d)1\d{12}(?:\d{3}|\d{6})?(?!\d)")
_EXPERIMENT: Final = re.compile(
    r"""(\bartifacts/|mlflow-artifacts:/|\bexperiment_id\s*=\s*'|\bexperiments/)(\d+)(?=[/'"]|$)"""
)


class PlainCalls:
    """Makes them so; knows the ids of the archive, and learns those of the target from receipts."""

    def __init__(self, archive: Path) -> None:
        opened = Archive(archive)
        try:
            rows = json.dumps([opened.rows(table) for table in TABLES if table != "blobs"], default=str)
        finally:
            opened.close()
        self._of_source = set(_ID.findall(rows))
        self._names: dict[str, str] = {}
        self._experiments: dict[str, str] = {}

    def learn(self, receipt: Mapping[str, Any]) -> None:
        """Take target ids from a receipt; those of a dry run are no ids."""
        maps = [receipt.get("runs", {}), *receipt.get("ids", {}).values()]
        pairs = [pair for ids in maps if isinstance(ids, dict) for pair in ids.items()]
        for source, target in pairs:
            if isinstance(target, str) and _ID.fullmatch(target) and target not in self._of_source:
                self._names[target] = f"<{source}>"
        for source, target in receipt.get("experiments", {}).items():
            if target is not None:
                self._experiments[str(target)] = f"<experiment {source}>"

    def plain(self, call: Call, begin: float, end: float) -> str:
        """Return a call as a line of JSON; its kind is the method and the path, without ids."""
        parts = urlsplit(call.path)
        query = self._json(dict(parse_qsl(parts.query, keep_blank_values=True)))
        path = _EXPERIMENT.sub(self._experiment, unquote(parts.path))
        fields = {
            "kind": f"{call.method} {_kind(path)}",
            "path": path,
            "query": query,
            "body": self._body(call.body),
        }
        text = self.plain_text(json.dumps(fields, sort_keys=True, ensure_ascii=False), begin, end)
        return re.sub(r"(?<=[:,\[] )<now>|(?<=\[)<now>", '"<now>"', text)

    def plain_text(self, text: str, begin: float, end: float) -> str:
        """Return text without ids and times that the server gave."""

        def time_of(match: re.Match[str]) -> str:
            seconds = int(match[0][:13]) / 1000
            return "<now>" if begin - 1 <= seconds <= end + 1 else match[0]

        return _TIME.sub(time_of, _ID.sub(self._id, text))

    def _id(self, match: re.Match[str]) -> str:
        text = match[0]
        if text in self._of_source:
            return text
        bare = text.rpartition("-")[2]
        return self._names.get(text) or self._names.get(bare) or ("<new>" if bare not in self._of_source else text)

    def _experiment(self, match: re.Match[str]) -> str:
        return match[1] + self._experiments.get(match[2], match[2])

    def _body(self, body: bytes) -> Any:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            for target, source in self._names.items():
                body = body.replace(target.encode(), source.encode())
            return f"sha256:{hashlib.sha256(body).hexdigest()}"
        try:
            return self._json(json.loads(text))
        except json.JSONDecodeError:
            return _EXPERIMENT.sub(self._experiment, text)

    def _json(self, value: Any, key: str = "") -> Any:
        """Return a value with experiments by what they were: their ids are small numbers, known by where they stand."""
        if isinstance(value, dict):
            return {name: self._json(entry, name) for name, entry in value.items()}
        if isinstance(value, list):
            return [self._json(entry, key) for entry in value]
        if key in ("experiment_id", "experiment_ids", "locations") and str(value) in self._experiments:
            return self._experiments[str(value)]
        return _EXPERIMENT.sub(self._experiment, value) if isinstance(value, str) else value


def _kind(path: str) -> str:
    """Return a path without what names one object: below the artifacts' root nothing counts but that it is that."""
    text = _ID.sub("*", path)
    text = re.sub(r"(mlflow-artifacts/artifacts)/.*", r"\1", text)
    return re.sub(r"<[^<>]*>|(?<=/)\d+(?=/|$)", "*", text)
