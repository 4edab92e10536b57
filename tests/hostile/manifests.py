"""What is changed in a manifest: values, keys, lists; its bytes, where JSON can say what Python's cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from mlflow_archive.format.manifest import canonical_json
from tests.hostile.contents import Contents
from tests.hostile.texts import EVERY, INTEGERS
from tests.spec.drafts import Row

_OTHER_VALUES: Final[tuple[Any, ...]] = (None, True, 1.5, -1.0, [], {}, ["a"], {"a": 1}, "", 0)
_HUGE: Final = (2**63, 10**30, 10**400, -(10**400))
_MARK: Final = "a-place-in-the-manifest"
_LITERALS: Final = (
    "9" * 5000,
    "1e999",
    "NaN",
    "-Infinity",
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 700 + "1" + "}" * 700,
    "[" * 60 + "]" * 60,
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '{"\\udfff":1}',
    '{"a":1,"a":1}',
    '"\x01"',
    "01",
    '"\\u00e4"',
)
"""JSON, or nearly, that stands where a value was."""


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a document with each key or index of it."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(entries):
        yield value, key
        yield from _places(inner)


def _other(value: Any, random: Random) -> Any:
    if isinstance(value, int) and random.random() < 0.7:
        return random.choice((*INTEGERS, *_HUGE))
    if isinstance(value, str) and random.random() < 0.7:
        return random.choice((*EVERY, "\ud800", "\udfff" + value, value + value, value.upper()))
    return random.choice((*_OTHER_VALUES, *_HUGE))


def value(contents: Contents, random: Random) -> str:
    """Put another value in one place."""
    number, choice = random.randrange(10**9), Random(random.random())  # noqa: S311 - chance that can be had again

    def edit(document: Row) -> None:
        places = list(_places(document))
        container, key = places[number % len(places)]
        container[key] = _other(container[key], choice)

    contents.document_edits.append(edit)
    return "another value"


def key(contents: Contents, random: Random) -> str:
    """Take a key or an entry away, or bring one."""
    number, takes_away = random.randrange(10**9), random.random() < 0.6
    new = random.choice((*_OTHER_VALUES, *EVERY, *_HUGE))

    def edit(document: Row) -> None:
        places = list(_places(document))
        container, name = places[number % len(places)]
        if takes_away:
            del container[name]
        elif isinstance(container, dict):
            container[random.choice(EVERY)[:1000]] = new
        else:
            container.append(new)

    contents.document_edits.append(edit)
    return "a key less" if takes_away else "a key more"


def literal(contents: Contents, random: Random) -> str:
    """Put JSON in one place that no document of Python's gives."""
    number, text, known = random.randrange(10**9), random.choice(_LITERALS), random.random() < 0.5

    def edit(document: Row) -> None:
        places = list(_places(document))
        container, name = places[number % len(places)] if known else (document, "novel")
        container[name] = _MARK

    contents.document_edits.append(edit)
    contents.write = lambda document: canonical_json(document).replace(json.dumps(_MARK).encode(), text.encode())
    return f"the literal {text[:20]}"


def members(contents: Contents, random: Random) -> str:
    """Exchange something of two members, list one twice, or in another order."""
    field = random.choice(("path", "kind", "export", "size", "sha256", "table", "rows", "key_min", "footer_sha256"))
    first, second, manner = random.randrange(10**6), random.randrange(10**6), random.choice(("swap", "twice", "order"))

    def edit(document: Row) -> None:
        listed = document["members"]
        one, other = listed[first % len(listed)], listed[second % len(listed)]
        if manner == "swap":
            one[field], other[field] = other.get(field), one.get(field)
        elif manner == "twice":
            listed.append({**one, "path": one["path"].replace("0001-", "0001-1")})
        else:
            listed.reverse()

    contents.document_edits.append(edit)
    return f"members: {manner} {field}"


def exports(contents: Contents, random: Random) -> str:
    """Change what an export says of its source and selection, or list it again."""
    where = random.choice(("source", "selection", "counts", ""))
    name = random.choice(("kind", "uri", "extra", "mlflow_version", "newer_schema", "experiments", "since_ms", "runs"))
    new = random.choice((*_OTHER_VALUES, *EVERY, *_HUGE, {"exported_ms": "x" * 9}, {"exported_ms": "9" * 5000}))
    as_exim = random.random() < 0.3

    def edit(document: Row) -> None:
        export = document["exports"][-1]
        if as_exim:
            export["source"].update(kind="exim", extra=new if isinstance(new, dict) else {"exported_ms": new})
        elif where:
            export[where][name] = new
        else:
            document["exports"].append({**export, "number": export["number"] + 1})

    contents.document_edits.append(edit)
    return f"export: {where} {name}"


_COLUMNS: Final[tuple[Any, ...]] = (
    [],
    [["name", "string"]],
    [["name", "list"]],
    [["name", "string"], ["name", "string"]],
    [["name"]],
    [[1, "string"]],
    [["\ud800", "string"]],
    [["no such", "double"]],
    ["ab", "cd"],
    [["name", ["string"]]],
    [["Odd n\u00e4me", "double"]],
    *([[text, "string"]] for text in ("", "\x00", "x" * 100_000, "a\x1b[31m", '"; drop', "<b>")),
)
"""What a part of a table that nobody knows may say of its columns."""


def carried(contents: Contents, random: Random) -> str:
    """Let a part be one of a table that nobody knows, or say something else of its name or columns."""
    number, manner = random.randrange(10**6), random.choice(("name", "name", "columns", "columns", "part", "known"))
    name = random.choice((*EVERY, "runs", "", "gizmos", "\ud800", "sqlite_master", "alembic_version", 'a"b'))
    columns = random.choice((*_COLUMNS, *_OTHER_VALUES))

    def edit(document: Row) -> None:
        parts = [entry for entry in document["members"] if entry["kind"] == "table"]
        unknown = [entry for entry in parts if entry["table"].startswith("unknown:")]
        entry = (parts if manner == "part" or not unknown else unknown)[number % len(unknown or parts)]
        if manner == "columns":
            entry["columns"] = columns
        elif manner == "known":
            entry["table"] = random.choice(parts)["table"]
        else:
            entry.update(table=f"unknown:{name}", columns=entry.get("columns", [["run_id", "string"]]))

    contents.document_edits.append(edit)
    return f"a table that nobody knows: {manner}"


MANIFESTS: Final = (value, key, literal, members, exports, carried)
