"""The manifest: the canonical JSON that names every member; writing it is the commit (spec/format.md, "Manifest").

Its bytes are canonical (sorted keys, no spaces, ASCII, no final newline), so that their SHA-256 is the archive id.
Keys that this version does not know survive a read followed by a write.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal, TypeVar, cast

from mlflow_archive.errors import DamagedError, FormatTooNewError
from mlflow_archive.format.compaction import COMPACTED, Compaction, parse_compacted
from mlflow_archive.format.delta import FEATURE, Delta, all_members, divided, parse_delta
from mlflow_archive.format.layout import is_member_name
from mlflow_archive.format.redaction import REDACTION, Redaction, parse_redaction
from mlflow_archive.format.settled import SETTLED, parse_settled

FORMAT_NAME: Final = "mlflow-archive"
MAJOR: Final = 1
MINOR: Final = 6
WHOLE_MINOR: Final = 3
"""The lowest version that suffices for an archive that is no delta."""
KNOWN_FEATURES: Final[frozenset[str]] = frozenset({FEATURE})
MAX_MANIFEST_SIZE: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**63 - 1
MAX_EXPORTS: Final = 9_999

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST_SHOWN: Final = 100

MemberKind = Literal["table", "pack", "text", "manifest"]
_KINDS: Final = ("table", "pack", "text", "manifest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of the archive. Tables state rows and the range of their first key column; sizes are bytes.

    ``footer_sha256`` is that of a part's Parquet footer: the last bytes, from the first of the footer to the end.
    """

    path: str
    kind: MemberKind
    export: int
    size: int
    sha256: str
    table: str | None = None
    rows: int | None = None
    key_min: str | None = None
    key_max: str | None = None
    footer_sha256: str | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One committed write. ``source`` and ``selection`` are what was read, ``counts`` the rows it wrote by table.

    ``settled`` names what earlier exports told of in ``gaps`` and is no more, each as owner kind and owner id;
    ``compacted`` the compactions that it went through, the last one last;
    ``redaction`` says by which rules values were taken out, None where none were.
    """

    number: int
    created_ms: int
    tool: str
    source: Mapping[str, Any]
    selection: Mapping[str, Any]
    counts: Mapping[str, int]
    gaps: int
    settled: tuple[tuple[str, str], ...] | None = None
    compacted: tuple[Compaction, ...] | None = None
    redaction: Redaction | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything an archive states about itself. ``members`` lie in it; of a delta others lie ``elsewhere``."""

    minor: int = WHOLE_MINOR
    required_features: tuple[str, ...] = ()
    optional_features: tuple[str, ...] = ()
    exports: tuple[Export, ...]
    members: tuple[Member, ...]
    elsewhere: tuple[Member, ...] = ()
    delta: Delta | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def export_number(self) -> int:
        """The number of the newest export."""
        return self.exports[-1].number

    def member(self, path: str) -> Member | None:
        """Return the member of that path, or None."""
        return next((member for member in self.members if member.path == path), None)


def archive_id(data: bytes) -> str:
    """Return the id of the archive whose manifest has these bytes."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(document: object) -> bytes:
    """Encode JSON as the format has it: sorted keys, no spaces, ASCII only."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def encode(manifest: Manifest) -> bytes:
    """Return the canonical bytes of a manifest."""
    document = {
        **manifest.unknown,
        "format": {"name": FORMAT_NAME, "major": MAJOR, "minor": manifest.minor},
        "required_features": sorted(manifest.required_features),
        "optional_features": sorted(manifest.optional_features),
        "exports": [_encode_record(export) for export in manifest.exports],
        "members": [_encode_record(member) for member in all_members(manifest)],
        **({} if manifest.delta is None else {FEATURE: manifest.delta.to_json()}),
    }
    return canonical_json(document)


def _encode_record(record: Member | Export) -> dict[str, Any]:
    names = (name for name in type(record).__slots__ if name != "unknown")
    known = {name: getattr(record, name) for name in names if getattr(record, name) is not None}
    if isinstance(record, Export) and record.redaction is not None:
        known["redaction"] = record.redaction.to_json()
    return {**record.unknown, **known}


def decode(data: bytes, *, where: str) -> Manifest:
    """Check and read a manifest.

    Raises FormatTooNewError for another major version or an unknown required feature, before anything else is
    looked at, and DamagedError (E002) for anything that is not a manifest as spec/format.md has it.
    """
    if len(data) > MAX_MANIFEST_SIZE:
        raise _bad(where, f"it has {len(data)} bytes, more than {MAX_MANIFEST_SIZE}")
    try:
        document = json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(where, f"it is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), dict):
        raise _bad(where, "it has no object `format`")
    _check_version(document, where)
    if not _is_canonical(document, data):
        raise _bad(where, "its JSON is not canonical (sorted keys, no spaces, ASCII)")
    if problem := _beyond_limits(document):
        raise _bad(where, problem)
    reader = _Reader(where)
    exports = tuple(reader.export(item, i) for i, item in enumerate(reader.items(document, "exports")))
    members = tuple(reader.member(item, i) for i, item in enumerate(reader.items(document, "members")))
    known = {"format", "required_features", "optional_features", "exports", "members", FEATURE}
    manifest = Manifest(
        minor=document["format"]["minor"],
        required_features=reader.names(document, "required_features"),
        optional_features=reader.names(document, "optional_features"),
        exports=exports,
        members=members,
        unknown={key: value for key, value in document.items() if key not in known},
    )
    _check_lists(manifest, where)
    try:
        delta = parse_delta(document)
        return manifest if delta is None else divided(manifest, delta)
    except ValueError as error:
        raise _bad(where, str(error)) from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        message = "a key occurs twice"
        raise ValueError(message)
    return document


def _no_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _is_canonical(document: object, data: bytes) -> bool:
    try:
        return canonical_json(document) == data
    except (ValueError, RecursionError):  # such as 1e999, which JSON can write and not hold
        return False


def _beyond_limit(value: object) -> str:
    if type(value) is int and abs(value) > MAX_INTEGER:
        return f"it holds a number of {len(str(abs(value)))} digits; none may reach 2^63"
    if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
        return f"the text {_short(value)} holds half of a character: a surrogate without its other half"
    return ""


def _beyond_limits(document: dict[str, Any]) -> str:
    """Return what no reader need hold, in any key, known or not; empty where there is nothing."""
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            inner += [*value, *value.values()] if isinstance(value, dict) else value
        if problem := next(filter(None, map(_beyond_limit, inner)), ""):
            return problem
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return ""
    return f"its values nest more than {MAX_DEPTH} deep"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _bad(where: str, reason: str) -> DamagedError:
    return DamagedError(f"{where} is no valid manifest: {reason}", code="E002", member=where)


def _check_version(document: dict[str, Any], where: str) -> None:
    version = document["format"]
    if version.get("name") != FORMAT_NAME:
        raise _bad(where, f"its format is {_short(version.get('name'))}, expected {FORMAT_NAME!r}")
    major, minor = version.get("major"), version.get("minor")
    if type(major) is not int or type(minor) is not int or major < 1 or minor < 0:
        raise _bad(where, "format.major and format.minor must be integers")
    if major != MAJOR:
        message = (
            f"E003: this archive has format {major}.{minor}; this version of mlflow-archive reads {MAJOR}.x. "
            "Install a newer mlflow-archive."
        )
        raise FormatTooNewError(message)
    features = document.get("required_features")
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise _bad(where, "required_features must be a list of names")
    if unknown := sorted(set(features) - KNOWN_FEATURES):
        message = (
            f"E004: this archive needs the feature {', '.join(repr(name) for name in unknown)}, which this version of "
            "mlflow-archive does not have. Install a newer mlflow-archive."
        )
        raise FormatTooNewError(message)


def _check_lists(manifest: Manifest, where: str) -> None:
    if not manifest.exports:
        raise _bad(where, "it lists no export")
    numbers = [export.number for export in manifest.exports]
    if numbers != list(range(1, len(numbers) + 1)):
        raise _bad(where, f"exports are numbered {_short(numbers)}, expected 1, 2, 3, …")
    if len(numbers) > MAX_EXPORTS:
        raise _bad(where, f"it lists {len(numbers)} exports, more than {MAX_EXPORTS}")
    paths = [member.path for member in manifest.members]
    if len(set(paths)) != len(paths):
        raise _bad(where, "a member is listed twice")
    for key in ("required_features", "optional_features"):
        _check_order(getattr(manifest, key), key, where)
    _check_order(paths, "members", where)
    for member in manifest.members:
        if not 1 <= member.export <= manifest.export_number:
            raise _bad(where, f"{member.path} belongs to export {member.export}, which is not listed")


def _check_order(names: Sequence[str], key: str, where: str) -> None:
    for before, after in pairwise(names):
        if after < before:
            raise _bad(where, f"{key} are not sorted: {_short(after)} stands behind {_short(before)}")


_EXPORT_KEYS: Final = {
    "number": int,
    "created_ms": int,
    "tool": str,
    "source": dict,
    "selection": dict,
    "counts": dict,
    "gaps": int,
}
_STATED: Final = frozenset((*_EXPORT_KEYS, SETTLED, COMPACTED, REDACTION))
_Stated = TypeVar("_Stated")
_MEMBER_KEYS: Final = {"path": str, "kind": str, "export": int, "size": int, "sha256": str}
_TABLE_KEYS: Final = {"table": str, "rows": int, "key_min": str, "key_max": str}
_SOURCE_KEYS: Final = {
    "kind": str,
    "uri": str,
    "mlflow_version": str,
    "schema_revision": str,
    "extra": dict,
    "newer_schema": bool,
}
_SELECTION_KEYS: Final = {
    **dict.fromkeys(("experiments", "runs", "models", "kinds", "artifact_globs"), list),
    **dict.fromkeys(("evaluation_datasets", "versions", "stages"), list),
    **dict.fromkeys(("filter_string", "trace_filter", "registry"), str),
    **dict.fromkeys(("since_ms", "until_ms", "max_artifact_size", "latest_versions"), int),
    **dict.fromkeys(("deleted", "artifacts", "unknown_tables", "parents", "children"), bool),
}


class _Reader:
    """Reads lists of records and says where a wrong one is."""

    def __init__(self, where: str) -> None:
        self.where = where

    def items(self, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
        value = document.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise _bad(self.where, f"{key} must be a list of objects")
        return value

    def names(self, document: dict[str, Any], key: str) -> tuple[str, ...]:
        value = document.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _bad(self.where, f"{key} must be a list of names")
        return tuple(value)

    def typed(self, item: dict[str, Any], keys: Mapping[str, type], place: str) -> None:
        for key, kind in keys.items():
            if type(item.get(key)) is not kind or (kind is int and item[key] < 0):
                raise _bad(self.where, f"{place}.{key} is {_short(item.get(key))}, expected {kind.__name__}")

    def given(self, item: dict[str, Any], keys: Mapping[str, type], place: str) -> None:
        """Check the keys that are there; of a list also that it holds texts."""
        for key, kind in keys.items():
            value = item.get(key)
            texts = kind is not list or (isinstance(value, list) and all(isinstance(text, str) for text in value))
            if key in item and (type(value) is not kind or not texts):
                raise _bad(self.where, f"{place}.{key} is {_short(value)}, expected {kind.__name__}")

    def digest(self, item: dict[str, Any], key: str, place: str) -> None:
        value = item[key]
        if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise _bad(self.where, f"{place}.{key} is no SHA-256 in lower-case hex")

    def export(self, item: dict[str, Any], index: int) -> Export:
        place = f"exports[{index}]"
        self.typed(item, _EXPORT_KEYS, place)
        self.typed(item["counts"], dict.fromkeys(item["counts"], int), f"{place}.counts")
        self.given(item["source"], _SOURCE_KEYS, f"{place}.source")
        extra = item["source"].get("extra", {})
        self.given(extra, dict.fromkeys(extra, str), f"{place}.source.extra")
        self.given(item["selection"], _SELECTION_KEYS, f"{place}.selection")
        return Export(
            **{key: item[key] for key in _EXPORT_KEYS},
            settled=self.stated(parse_settled, item, place),
            compacted=self.stated(parse_compacted, item, place),
            redaction=self.stated(parse_redaction, item, place),
            unknown={key: value for key, value in item.items() if key not in _STATED},
        )

    def stated(self, parse: Callable[[Mapping[str, Any]], _Stated], item: dict[str, Any], place: str) -> _Stated:
        try:
            return parse(item)
        except ValueError as error:
            raise _bad(self.where, f"{place}.{error}") from error

    def member(self, item: dict[str, Any], index: int) -> Member:
        place = f"members[{index}]"
        self.typed(item, _MEMBER_KEYS, place)
        if not is_member_name(item["path"]):
            raise DamagedError(
                f"{self.where}: {place}.path {_short(item['path'])} is no member name", code="E015", member=self.where
            )
        if item["kind"] not in _KINDS:
            raise _bad(self.where, f"{place}.kind is {_short(item['kind'])}, expected one of {', '.join(_KINDS)}")
        self.digest(item, "sha256", place)
        known: dict[str, type] = dict(_MEMBER_KEYS)
        if item["kind"] == "table":
            self.typed(item, _TABLE_KEYS, place)
            known |= _TABLE_KEYS
            if "footer_sha256" in item:
                self.digest(item, "footer_sha256", place)
                known["footer_sha256"] = str
        return Member(
            **{key: item[key] for key in known if key != "kind"},
            kind=cast("MemberKind", item["kind"]),
            unknown={key: value for key, value in item.items() if key not in known},
        )
