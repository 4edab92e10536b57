"""How far a check is, and what its report is as a whole: as JSON, and in a notebook."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mlflow_archive.format.delta import Elsewhere
from mlflow_archive.format.problems import Problem
from mlflow_archive.kinds import RUN
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.report import SignatureReport
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import PROMISES, Level, Lost, VerifyReport
from mlflow_archive.verification.taken import check_taken
from tests.spec.drafts import Draft, build, in_order_of_making, write_directory, zipped


class Steps:
    """Adds up what is expected and what is done, by unit."""

    def __init__(self) -> None:
        self.expected: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def expect(self, unit: str, amount: int) -> None:
        self.expected[unit] += amount

    def advance(self, unit: str, amount: int) -> None:
        self.done[unit] += amount

    def note(self, message: str) -> None:
        raise AssertionError(message)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_directory(build(Draft()), tmp_path / "a")
    return tmp_path / "a"


def test_a_check_does_all_the_bytes_that_it_expects(path: Path) -> None:
    with open_archive(path) as archive:
        sizes = {member.path: member.size for member in archive.manifest.members}
    packs = sum(size for name, size in sizes.items() if name.startswith("packs/"))
    labels = 76 + 76 + 44  # of two frames, one of which holds two blobs
    for level, expected, done in (
        (Level.QUICK, {}, {}),
        (Level.STORED, {"bytes": sum(sizes.values())}, {"bytes": sum(sizes.values())}),
        (Level.FULL, {"bytes": sum(sizes.values()) + packs}, {"bytes": sum(sizes.values()) + packs - labels}),
    ):
        steps = Steps()
        assert verify(path, level, progress=steps).problems == []
        assert (dict(steps.expected), dict(steps.done)) == (expected, done)
    steps = Steps()
    single = path.with_name("a.mlfa")
    single.write_bytes(zipped(in_order_of_making(build(Draft()))))
    assert verify(single, Level.STORED, progress=steps).problems == []
    assert steps.expected == steps.done, "also of those that the manifest of a single file cannot list"
    steps = Steps()
    with open_archive(path) as archive:
        check_taken(archive, progress=steps)
    assert steps.expected == steps.done == Counter(bytes=sum(sizes.values()) - sizes["README.txt"])


def test_the_report_as_a_whole() -> None:
    report = VerifyReport(level=Level.STORED, archive_id="x")
    report.add("E012", "tables/a", "it is bad")
    report.lost |= {Lost(kind=RUN, id="b"), Lost(kind=RUN, id="a", path="f")}
    report.count("members", 1234)
    assert report.problems == [Problem(code="E012", member="tables/a", message="it is bad")]
    as_json = {
        "archive_id": "x",
        "level": "stored",
        "promise": PROMISES[Level.STORED],
        "ok": False,
        "checked": {"members": 1234},
        "problems": [problem.to_json() for problem in report.problems],
        "lost": [{"kind": "run", "id": "a", "path": "f"}, {"kind": "run", "id": "b", "path": ""}],
    }
    assert report.to_json() == as_json
    report.elsewhere, report.signatures = Elsewhere(base="y", members=2, bytes=3), SignatureReport(newest_export=1)
    more = {"elsewhere": {"base": "y", "members": 2, "bytes": 3}, "signatures": report.signatures.to_json()}
    assert report.to_json() == {**as_json, **more}
    page = report._repr_html_()
    for text in ("stored: DAMAGED", "archive id", "x", "members", "1,234", "problems (1)", "it is bad", "lost (2)"):
        assert f">{text}<" in page, text
    assert page.index(">a<") < page.index(">b<")
    assert ">quick: sound<" in VerifyReport(level=Level.QUICK, archive_id="x")._repr_html_()
