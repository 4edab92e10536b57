"""Every vector yields the code it is named by, and nothing that does not follow from its one fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

import mlflow_archive as ma
from mlflow_archive.errors import DamagedError, FormatTooNewError, MlflowArchiveError, NotAnArchiveError
from mlflow_archive.format.problems import PROBLEMS
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level
from tests.conformance import independent_reader
from tests.spec.make_vectors import VECTORS, all_vectors
from tests.support.reading import plain_rows

INDEX: dict[str, dict[str, Any]] = json.loads((VECTORS / "vectors.json").read_text("utf-8"))
OPENING = ("E001", "E002", "E003", "E004", "E006", "E007", "E015", "E016", "E020", "E022", "E023")
QUICK = ("E005", "E010", "E011", "E013", "E014", "W001", "W002", "W004")
VALID = sorted(name for name in INDEX if name.startswith("valid/"))
FAULTY = sorted(INDEX.keys() - set(VALID))


def base_of(name: str) -> Path | None:
    """Return the base beside which a vector is looked at, None where it is by itself."""
    return VECTORS / INDEX[name]["base"] if "base" in INDEX[name] else None


def codes_of(name: str, level: Level = Level.FULL, *, base: Path | None = None) -> set[str]:
    """Return all codes found by opening an archive and verifying it."""
    try:
        return {problem.code for problem in verify(VECTORS / name, level, base=base).problems}
    except DamagedError as error:
        return {error.code}
    except (NotAnArchiveError, FormatTooNewError) as error:
        return {str(error).partition(":")[0]}


def test_index_lists_what_is_there() -> None:
    assert set(INDEX) == {
        f"{folder.name}/{path.name}" for folder in VECTORS.iterdir() if folder.is_dir() for path in folder.iterdir()
    }
    assert {f"{vector.folder}/{vector.name}" for vector in all_vectors()} == set(INDEX)


@pytest.mark.parametrize("name", FAULTY)
def test_fault_yields_its_code(name: str) -> None:
    codes = INDEX[name]["codes"]
    assert codes_of(name, base=base_of(name)) == set(codes)
    assert name.partition("/")[2][:4] == codes[0]
    assert codes[0] in PROBLEMS


@pytest.mark.parametrize("name", [name for name in FAULTY if INDEX[name]["codes"][0] in OPENING])
def test_fault_is_refused_on_opening(name: str) -> None:
    with pytest.raises(MlflowArchiveError, match=rf"{INDEX[name]['codes'][0]}: \S+"):
        open_archive(VECTORS / name, base=base_of(name))


@pytest.mark.parametrize("name", [name for name in FAULTY if INDEX[name]["codes"][0] in QUICK])
def test_fault_is_found_by_a_quick_check(name: str) -> None:
    assert INDEX[name]["codes"][0] in codes_of(name, Level.QUICK)


@pytest.mark.parametrize("name", VALID)
def test_valid_has_no_problem_and_reads_the_same_for_a_stranger(name: str) -> None:
    assert codes_of(name) == codes_of(name, base=base_of(name)) == set()
    theirs = independent_reader.Archive(VECTORS / name, base_of(name))
    with open_archive(VECTORS / name, base=base_of(name)) as ours:
        assert theirs.archive_id == ours.id
        for table in TABLES:
            mine = plain_rows(ours.table(table))
            stranger = [
                {column: row.get(column) for column in TABLES[table].column_names} for row in theirs.rows(table)
            ]
            assert sorted(map(repr, stranger)) == sorted(map(repr, mine)), table
        carried = {name: read_unknown_table(ours, member).to_pylist() for name, member in unknown_tables(ours).items()}
    assert repr(theirs.unknown_tables()) == repr(carried)  # NaN among them
    assert bool(carried) == ("carried" in name)
    for row in theirs.rows("artifacts"):
        assert len(theirs.blob(row["digest"])) == row["size"]
    theirs.close()


def test_two_exports_show_the_newest_rows_only() -> None:
    with open_archive(VECTORS / "valid" / "two_exports.mlfa") as archive:
        names = dict(zip(*(archive.table("runs")[c].to_pylist() for c in ("run_id", "run_name")), strict=True))
        assert names == {"a" * 32: "first", "b" * 32: "second, renamed"}
        assert archive.table("params", owners=["b" * 32])["value"].to_pylist() == ["0.2"]
        assert archive.table("artifacts", owners=["b" * 32]).num_rows == 0


@pytest.mark.parametrize("name", ["directory", "version_1_1.mlfa"])
def test_filters_find_nan_with_statistics_of_doubles_and_without(name: str) -> None:
    """Statistics of version 1.0 leave NaN out; the base vector has NaN, infinity and 0.25."""
    value = pc.field("value")
    asked = {"not at most": ~(value <= float("inf")), "nan": pc.is_nan(value), "by number": ~(pc.field(4) <= 1e308)}
    with ma.open(VECTORS / "valid" / name) as archive:
        found = {
            word: sorted(map(repr, archive.metrics.to_table(["value"], expression)["value"].to_pylist()))
            for word, expression in asked.items()
        }
        counted = archive.sql("select count(*) as n from metrics where isnan(value)").to_pylist()
    assert found == {"not at most": ["nan"], "nan": ["nan"], "by number": ["inf", "nan"]}
    assert counted == [{"n": 1}]
