"""report: one page with everything in it and nothing that runs or is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import CHILD, PARENT, Command, archive_id, write_archive
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run

EVIL = "<script src='http://evil/x.js'>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Collects tags and what they point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def test_what_it_says(cli: Command, archive: Path, tmp_path: Path) -> None:
    ran = cli("report", archive, "-o", tmp_path / "r.html", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    text = (tmp_path / "r.html").read_text()
    for said in (archive_id(archive), "full: sound", "churn", PARENT, CHILD, "http://source:5000", "manifest.json"):
        assert said in text, said
    assert "An artifact is declared but is not there." in text
    assert len(re.findall("<svg", text)) == 1  # only one history has two points that are finite


def test_the_same_archive_gives_the_same_page(cli: Command, archive: Path, tmp_path: Path) -> None:
    pages = [tmp_path / "1.html", tmp_path / "2.html"]
    for page in pages:
        assert cli("report", archive, "-o", page, "-q").code == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_nothing_of_an_archive_becomes_markup(cli: Command, tmp_path: Path) -> None:
    first = chunk(experiments=[experiment("1", EVIL)], registered_models=[{"name": EVIL, "workspace": "default"}])
    rest = chunk(
        [artifact("a" * 32, EVIL, b"x")],
        runs=[run("a" * 32, "1", run_name=EVIL)],
        params=pairs("a" * 32, {EVIL: EVIL}),
        tags=pairs("a" * 32, {EVIL: EVIL}),
        metrics=points("a" * 32, EVIL, [1.0, 2.0]),
        model_versions=[{"name": EVIL, "workspace": "default", "version": 1, "source": EVIL}],
    )
    copy(ChunkSource((0, [first]), (1, [rest])), ArchiveSink(tmp_path / "a", tool=EVIL, clock_ms=lambda: 0), jobs=1)
    assert cli("report", tmp_path / "a", "-o", tmp_path / "r.html", "-q").code == 0
    page = Page((tmp_path / "r.html").read_text())
    assert not page.tags & {"script", "a", "img", "link", "iframe", "object", "form"}
    assert not page.attributes & {"src", "href", "onerror", "onload"}


def test_runs_beyond_the_limit_are_counted(cli: Command, archive: Path, tmp_path: Path) -> None:
    assert cli("report", archive, "-o", tmp_path / "r.html", "-q", "--runs", "1").code == 0
    text = (tmp_path / "r.html").read_text()
    assert text.count("<details>") == 1
    assert text.count("1 more runs are in the archive") == 2


def test_damage_is_told(cli: Command, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a")
    pack = next((path / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[-5] ^= 1
    pack.write_bytes(data)
    ran = cli("report", path, "-o", tmp_path / "r.html", "-q")
    assert ran.code == 12
    assert "full: DAMAGED" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(("options", "code"), [(["-o", "nowhere/x.html"], 2), ([], 2)])
def test_usage(cli: Command, archive: Path, options: list[str], code: int) -> None:
    assert cli("report", archive, *options).code == code
