"""The documents of the format and the code that implements it name the same things, in both directions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlflow_archive.format import packs, zipfile64
from mlflow_archive.format.gaps import GAPS
from mlflow_archive.format.layout import MAX_NAME_LENGTH
from mlflow_archive.format.manifest import MAJOR, MAX_MANIFEST_SIZE, MINOR
from mlflow_archive.format.problems import PROBLEMS, SIGNATURE_PROBLEMS
from mlflow_archive.format.refusals import REFUSALS
from mlflow_archive.kinds import BY_ROW, TABLES, Table

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "spec"
VECTORS = SPEC / "vectors"
TYPES = {
    "string": "string",
    "int64": "int64",
    "bool": "bool",
    "double": "double",
    "timestamp[ms, tz=UTC]": "timestamp[ms, UTC]",
}
WITHOUT_VECTOR = {"E008": "an index is no archive; tests/writer/test_index.py damages each byte of one"}
"""Codes for which no archive can be made, with the reason."""


def sections(document: str) -> dict[str, str]:
    """Return the text below each second-level heading."""
    parts = re.split(r"^## (.*)\n", document, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def code_table(heading: str) -> dict[str, str]:
    text = sections((SPEC / "problems.md").read_text("utf-8"))[heading]
    return dict(re.findall(r"^\| ([EWGR]\d{3}) \| (.*?) \|", text, flags=re.MULTILINE))


def described_tables() -> dict[str, str]:
    found = sections((SPEC / "tables.md").read_text("utf-8"))
    return {heading.strip("`"): text for heading, text in found.items()}


def quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def ownership(table: Table) -> str:
    entity = {None: "none", BY_ROW: "`*` (the kind in `owner_kind`)"}.get(table.entity, f"`{table.entity}`")
    unique = "" if table.unique else " (not unique)"
    return (
        f"Entity: {entity} · Owner: {quoted(table.owner)} · Key: {quoted(table.key)}{unique} · "
        f"Sort: {quoted(table.sort)}"
    )


def test_every_table_is_described_and_no_other() -> None:
    assert list(described_tables()) == list(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_table_columns(name: str) -> None:
    text = described_tables()[name]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (yes|no) \| ([^|]*)\| ([^|]*)\|", text, flags=re.MULTILINE)
    described = [(column, kind, null == "yes") for column, kind, null, _, _ in rows]
    coded = [(column.name, TYPES[str(column.type)], column.nullable) for column in TABLES[name].columns]
    assert described == coded
    assert [origin.strip() for *_, origin in rows] == [column.origin for column in TABLES[name].columns]
    assert ownership(TABLES[name]) in text


@pytest.mark.parametrize(("heading", "codes"), [("Problems", PROBLEMS), ("Gaps", GAPS), ("Refusals", REFUSALS)])
def test_codes_are_described_and_no_other(heading: str, codes: dict[str, str]) -> None:
    assert code_table(heading) == dict(codes)


def test_every_must_and_should_has_a_code_that_exists() -> None:
    cited = set(re.findall(r"`\[([EW]\d{3})\]`", (SPEC / "format.md").read_text("utf-8")))
    assert cited == set(PROBLEMS)
    for line in (SPEC / "format.md").read_text("utf-8").splitlines():
        if line.startswith("* ") and re.search(r"\b(MUST|SHOULD)\b", line):
            assert re.search(r"`\[[EW]\d{3}\]`", line), line


def test_the_section_of_each_problem_cites_it() -> None:
    numbered = {
        heading.partition(".")[0]: text for heading, text in sections((SPEC / "format.md").read_text("utf-8")).items()
    }
    rows = re.findall(
        r"^\| ([EW]\d{3}) \|.*\| ([\d, ]+) \|[^|]*\|$", (SPEC / "problems.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) == len(PROBLEMS)
    for code, places in rows:
        for place in places.split(", "):
            assert f"`[{code}]`" in numbered[place], (code, place)


def test_every_problem_is_raised_somewhere() -> None:
    sources = "\n".join(
        path.read_text("utf-8")
        for path in (ROOT / "archive").rglob("*.py")
        if path.name not in ("problems.py", "gaps.py", "refusals.py")
    )
    found = set(re.findall(r"\"([EW]\d{3})(?:\"|: )", sources))
    assert found == {*PROBLEMS, *SIGNATURE_PROBLEMS}


def test_every_problem_has_a_vector() -> None:
    made = {path.name[:4] for folder in ("invalid", "warning") for path in (VECTORS / folder).iterdir()}
    assert made | set(WITHOUT_VECTOR) == set(PROBLEMS)


def test_limits_are_those_of_the_code() -> None:
    text = sections((SPEC / "format.md").read_text("utf-8"))["16. Limits"]
    assert f"({packs.MAX_FRAME_RAW:,})" in text
    assert packs.MAX_FRAME_SIZE == packs.MAX_FRAME_RAW + 64 * 1024
    assert packs.MAX_WINDOW == 2**27
    assert f"| {packs.MAX_EXTENTS:,} |" in text
    assert f"| {MAX_MANIFEST_SIZE // 2**20} MiB |" in text
    assert f"| {zipfile64.MAX_CENTRAL_SIZE // 2**20} MiB |" in text
    assert f"| {MAX_NAME_LENGTH} characters |" in text
    assert f"`mlflow-archive`, version {MAJOR}.{MINOR}" in (SPEC / "format.md").read_text("utf-8")
