"""The manifest byte by byte, and each sentence that refuses one: what is wrong, where, and what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlflow_archive.errors import DamagedError, FormatTooNewError
from mlflow_archive.format.manifest import (
    MAX_DEPTH,
    MAX_EXPORTS,
    MAX_INTEGER,
    MAX_MANIFEST_SIZE,
    Export,
    Manifest,
    Member,
    archive_id,
    canonical_json,
    decode,
    encode,
)

SHA, OTHER_SHA = "0123456789abcdef" * 4, "f" * 64
EXPORT = {
    "number": 1,
    "created_ms": 5,
    "tool": "t 1",
    "source": {"kind": "rest", "uri": "http://h", "extra": {"a": "b"}, "newer_schema": False},
    "selection": {"experiments": ["e"], "since_ms": 3, "deleted": True, "filter_string": "x", "novel": 1.5},
    "counts": {"runs": 2},
    "gaps": 0,
}
TABLE = {
    "path": "tables/runs/0001-00000.parquet",
    "kind": "table",
    "export": 1,
    "size": 10,
    "sha256": SHA,
    "table": "runs",
    "rows": 2,
    "key_min": "a",
    "key_max": "b",
    "footer_sha256": OTHER_SHA,
}
TEXT = {"path": "README.txt", "kind": "text", "export": 1, "size": 0, "sha256": OTHER_SHA}


def document(**changes: Any) -> dict[str, Any]:
    """Return a manifest as JSON has it: a copy that a test may change."""
    plain = {
        "format": {"name": "mlflow-archive", "major": 1, "minor": 1},
        "required_features": [],
        "optional_features": [],
        "exports": [EXPORT],
        "members": [TEXT, TABLE],
    }
    copied: dict[str, Any] = json.loads(json.dumps(plain | changes))
    return copied


def refusal(changed: dict[str, Any]) -> str:
    """Return what is said of a manifest that is no valid one."""
    with pytest.raises(DamagedError) as caught:
        decode(canonical_json(changed), where="m.json")
    assert (caught.value.code, caught.value.member) == ("E002", "m.json")
    return str(caught.value).removeprefix("E002: m.json is no valid manifest: ")


def test_what_is_read_is_what_was_written_byte_by_byte() -> None:
    export = Export(**EXPORT, unknown={"novel": [1]})  # type: ignore[arg-type]
    table = Member(**TABLE, unknown={"later": {"x": None}})  # type: ignore[arg-type]
    text = Member(**TEXT)  # type: ignore[arg-type]
    manifest = Manifest(
        minor=4, optional_features=("a", "b"), exports=(export,), members=(text, table), unknown={"more": "é"}
    )
    written = document(
        format={"name": "mlflow-archive", "major": 1, "minor": 4},
        optional_features=["a", "b"],
        exports=[{**EXPORT, "novel": [1]}],
        members=[TEXT, {**TABLE, "later": {"x": None}}],
        more="é",
    )
    data = encode(Manifest(**{**vars_of(manifest), "members": (table, text), "optional_features": ("b", "a")}))
    assert data == json.dumps(written, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert decode(data, where="m.json") == manifest
    assert archive_id(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def vars_of(manifest: Manifest) -> dict[str, Any]:
    """Return the fields of a record with slots."""
    return {name: getattr(manifest, name) for name in Manifest.__slots__}


def test_a_member_is_known_by_its_path_and_the_newest_export_is_the_last() -> None:
    manifest = decode(canonical_json(document(exports=[EXPORT, {**EXPORT, "number": 2}])), where="m")
    assert manifest.export_number == 2
    assert manifest.member("README.txt") == manifest.members[0]
    assert manifest.member(str(TABLE["path"])) == manifest.members[1]
    assert manifest.member("readme.txt") is None
    assert (manifest.members[0].table, manifest.members[0].rows, manifest.members[0].footer_sha256) == (None,) * 3


def test_only_canonical_json_is_written() -> None:
    assert canonical_json({"b": [1, "é"], "a": None}) == b'{"a":null,"b":[1,"\\u00e9"]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[]", "it has no object `format`"),
        (b"{}", "it has no object `format`"),
        (b'{"format":[]}', "it has no object `format`"),
        (b'{"a":1,"a":1}', "it is not JSON: a key occurs twice"),
        (b'{"a":NaN}', "it is not JSON: NaN is not JSON"),
        (b'{"a":-Infinity}', "it is not JSON: -Infinity is not JSON"),
    ],
)
def test_what_is_no_json_of_a_manifest(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedError) as caught:
        decode(data, where="m.json")
    assert str(caught.value) == f"E002: m.json is no valid manifest: {reason}"


def test_the_largest_manifest_is_looked_at_and_a_larger_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_MANIFEST_SIZE == 64 * 1024 * 1024
    monkeypatch.setattr("mlflow_archive.format.manifest.MAX_MANIFEST_SIZE", 100)
    with pytest.raises(DamagedError, match="it is not JSON"):
        decode(b" " * 100, where="m")
    with pytest.raises(DamagedError, match=r"it has 101 bytes, more than 100$"):
        decode(b" " * 101, where="m")


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda data: data + b"\n",
        lambda data: data.replace(b":", b": ", 1),
        lambda data: data[:-1] + b',"a":1}',
        lambda data: data[:-1] + b',"z":1e999}',
    ],
)
def test_json_that_is_not_canonical(rewrite: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DamagedError) as caught:
        decode(rewrite(canonical_json(document())), where="m.json")
    reason = "its JSON is not canonical (sorted keys, no spaces, ASCII)"
    assert str(caught.value) == f"E002: m.json is no valid manifest: {reason}"


def test_another_format_is_named() -> None:
    assert refusal(document(format={"name": "x", "major": 9, "minor": 1})) == (
        "its format is 'x', expected 'mlflow-archive'"
    )


VERSION_REASON = "format.major and format.minor must be integers"


@pytest.mark.parametrize(
    ("key", "value"), [("major", 0), ("major", "1"), ("major", True), ("minor", -1), ("minor", None)]
)
def test_a_version_is_two_numbers(key: str, value: object) -> None:
    assert refusal(document(format={"name": "mlflow-archive", "major": 1, "minor": 1, key: value})) == VERSION_REASON


def test_any_minor_version_of_this_major_is_read() -> None:
    for minor in (0, 1, 99):
        changed = document(format={"name": "mlflow-archive", "major": 1, "minor": minor})
        assert decode(canonical_json(changed), where="m").minor == minor


def test_a_newer_version_or_feature_is_told_before_all_else_and_what_to_do() -> None:
    newer = {"format": {"name": "mlflow-archive", "major": 2, "minor": 7}, "exports": None}
    with pytest.raises(FormatTooNewError) as caught:
        decode(json.dumps(newer).encode(), where="m")
    assert str(caught.value) == (
        "E003: this archive has format 2.7; this version of mlflow-archive reads 1.x. Install a newer mlflow-archive."
    )
    with pytest.raises(FormatTooNewError) as caught:
        decode(json.dumps(document(required_features=["b", "a"], exports=None)).encode(), where="m")
    assert str(caught.value) == (
        "E004: this archive needs the feature 'a', 'b', which this version of mlflow-archive does not have. "
        "Install a newer mlflow-archive."
    )


@pytest.mark.parametrize("features", [None, "a", ["a", 1]])
def test_features_are_a_list_of_names(features: object) -> None:
    assert refusal(document(required_features=features)) == "required_features must be a list of names"
    assert refusal(document(optional_features=features)) == "optional_features must be a list of names"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_values_nest_so_deep_and_no_deeper() -> None:
    decode(canonical_json(document(novel=nested(MAX_DEPTH - 1))), where="m")
    for value in (nested(MAX_DEPTH), {"a": nested(MAX_DEPTH - 1)}):
        assert refusal(document(novel=value)) == f"its values nest more than {MAX_DEPTH} deep"


def test_numbers_reach_to_2_63_and_no_further() -> None:
    for number in (MAX_INTEGER, -MAX_INTEGER):
        decode(canonical_json(document(novel={"x": [number]})), where="m")
    for number in (MAX_INTEGER + 1, -MAX_INTEGER - 1):
        assert refusal(document(novel={"x": [number]})) == "it holds a number of 19 digits; none may reach 2^63"


@pytest.mark.parametrize("number", [0xD800, 0xDFFF])
def test_half_of_a_character_is_refused_in_keys_and_values(number: int) -> None:
    half = chr(number)
    reason = f"the text {half!r} holds half of a character: a surrogate without its other half"
    assert refusal(document(novel=half)) == refusal(document(**{half: 1})) == refusal(document(novel=[half])) == reason
    decode(canonical_json(document(novel="\ud7ff\ue000\U0001f600")), where="m")


def test_long_values_are_shown_by_their_first_hundred_characters() -> None:
    assert refusal(document(exports=[{**EXPORT, "tool": [1] * 33}])).startswith(f"exports[0].tool is {[1] * 33}, ")
    shown = repr([11] * 99)[:100]
    assert refusal(document(exports=[{**EXPORT, "tool": [11] * 99}])) == f"exports[0].tool is {shown}…, expected str"
    exactly = "a" * 97
    assert len(repr([exactly])) == 101
    assert refusal(document(exports=[{**EXPORT, "gaps": "a" * 98}])) == f"exports[0].gaps is {'a' * 98!r}, expected int"
    assert refusal(document(exports=[{**EXPORT, "gaps": "a" * 99}])) == (
        f"exports[0].gaps is {repr('a' * 99)[:100]}…, expected int"
    )


@pytest.mark.parametrize("key", ["exports", "members"])
@pytest.mark.parametrize("value", [None, {}, [1]])
def test_lists_are_lists_of_objects(key: str, value: object) -> None:
    assert refusal(document(**{key: value})) == f"{key} must be a list of objects"


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("number", True, "int"),
        ("created_ms", -1, "int"),
        ("tool", None, "str"),
        ("source", [], "dict"),
        ("selection", "all", "dict"),
        ("counts", 1, "dict"),
        ("gaps", 1.0, "int"),
    ],
)
def test_keys_of_an_export(key: str, value: object, kind: str) -> None:
    changed = document(exports=[EXPORT, {**EXPORT, "number": 2, key: value}])
    assert refusal(changed) == f"exports[1].{key} is {value!r}, expected {kind}"
    del changed["exports"][1][key]
    assert refusal(changed) == f"exports[1].{key} is None, expected {kind}"


@pytest.mark.parametrize(
    ("group", "key", "value", "kind"),
    [
        ("counts", "runs", -1, "int"),
        ("source", "kind", 1, "str"),
        ("source", "uri", None, "str"),
        ("source", "newer_schema", 0, "bool"),
        ("source", "extra", [], "dict"),
        ("selection", "experiments", "e", "list"),
        ("selection", "kinds", ["a", 1], "list"),
        ("selection", "trace_filter", [], "str"),
        ("selection", "since_ms", True, "int"),
        ("selection", "artifacts", 1, "bool"),
    ],
)
def test_keys_within_an_export(group: str, key: str, value: object, kind: str) -> None:
    own = EXPORT[group]
    assert isinstance(own, dict)
    changed = document(exports=[{**EXPORT, group: {**own, key: value}}])
    assert refusal(changed) == f"exports[0].{group}.{key} is {value!r}, expected {kind}"


def test_what_a_source_says_more_is_text() -> None:
    changed = document(exports=[{**EXPORT, "source": {"extra": {"a": "b", "c": 1}}}])
    assert refusal(changed) == "exports[0].source.extra.c is 1, expected str"
    decode(canonical_json(document(exports=[{**EXPORT, "source": {}, "selection": {"since_ms": -1}}])), where="m")


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("path", 1, "str"),
        ("export", None, "int"),
        ("size", -1, "int"),
        ("sha256", [], "str"),
        ("table", 1, "str"),
        ("rows", -1, "int"),
        ("key_min", None, "str"),
        ("key_max", 0, "str"),
    ],
)
def test_keys_of_a_member(key: str, value: object, kind: str) -> None:
    assert refusal(document(members=[TEXT, {**TABLE, key: value}])) == f"members[1].{key} is {value!r}, expected {kind}"


@pytest.mark.parametrize("key", ["sha256", "footer_sha256"])
@pytest.mark.parametrize("value", ["f" * 63, "f" * 65, "F" * 64, "g" * 64, "X" * 64])
def test_digests_are_sha256_in_lower_case(key: str, value: str) -> None:
    assert refusal(document(members=[{**TABLE, key: value}])) == f"members[0].{key} is no SHA-256 in lower-case hex"


def test_of_other_members_than_tables_a_footer_is_not_looked_at() -> None:
    odd = {**TEXT, "footer_sha256": 1, "rows": "many"}
    [member] = decode(canonical_json(document(members=[odd])), where="m").members
    assert member == Member(**TEXT, unknown={"footer_sha256": 1, "rows": "many"})  # type: ignore[arg-type]
    assert refusal(document(members=[{**TABLE, "footer_sha256": None}])) == (
        "members[0].footer_sha256 is no SHA-256 in lower-case hex"
    )
    without = {key: value for key, value in TABLE.items() if key != "footer_sha256"}
    assert decode(canonical_json(document(members=[without])), where="m").members[0].footer_sha256 is None


def test_kinds_and_paths_of_members() -> None:
    assert refusal(document(members=[{**TEXT, "kind": "blob"}])) == (
        "members[0].kind is 'blob', expected one of table, pack, text, manifest"
    )
    with pytest.raises(DamagedError) as caught:
        decode(canonical_json(document(members=[TABLE, {**TEXT, "path": "../x"}])), where="m.json")
    assert str(caught.value) == "E015: m.json: members[1].path '../x' is no member name"
    assert (caught.value.code, caught.value.member) == ("E015", "m.json")


def test_exports_are_numbered_from_1_on_up_to_9999(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(document(exports=[])) == "it lists no export"
    assert refusal(document(exports=[{**EXPORT, "number": 0}])) == "exports are numbered [0], expected 1, 2, 3, …"
    assert refusal(document(exports=[EXPORT, EXPORT])) == "exports are numbered [1, 1], expected 1, 2, 3, …"
    assert MAX_EXPORTS == 9999
    monkeypatch.setattr("mlflow_archive.format.manifest.MAX_EXPORTS", 3)
    many = [{**EXPORT, "number": number} for number in range(1, 5)]
    assert decode(canonical_json(document(exports=many[:-1])), where="m").export_number == 3
    assert refusal(document(exports=many)) == "it lists 4 exports, more than 3"


def test_a_member_is_listed_once_and_belongs_to_an_export_that_is_listed() -> None:
    assert refusal(document(members=[TEXT, TEXT])) == "a member is listed twice"
    for number in (0, 2):
        changed = document(members=[{**TEXT, "export": number}])
        assert refusal(changed) == f"README.txt belongs to export {number}, which is not listed"
