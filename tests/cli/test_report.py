"""report: one page with everything in it and nothing that runs or is fetched."""

from __future__ import annotations

import base64
import platform
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlflow_archive.api.report import report_html
from mlflow_archive.api.report.images import MOST_BYTES
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.cli.conftest import CHILD, PARENT, Command, archive_id, write_archive
from tests.spec.drafts import WORLD, Draft, Frame, build, in_order, sha, zipped
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run
from tests.support.memory_source import MemoryOptions, MemorySource

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
FILES = (("plot.PNG", PNG), ("no.png", b"text"), ("big.png", PNG + bytes(MOST_BYTES)))
BOMB = PNG + bytes(60_000_000)
EVIL = "<script src='http://evil/x.js'>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Collects tags and what they point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.ids.update(value or "" for name, value in attrs if name == "id")
        self.targets.update(value or "" for name, value in attrs if name in ("href", "src"))


def test_what_it_says(cli: Command, archive: Path, tmp_path: Path) -> None:
    ran = cli("report", archive, "-o", tmp_path / "r.html", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    text = (tmp_path / "r.html").read_text()
    for said in (archive_id(archive), "full: sound", "churn", PARENT, CHILD, "http://source:5000", "manifest.json"):
        assert said in text, said
    for said in ("checked at (UTC)", platform.node(), str(archive)):
        assert said in text, said
    assert "An artifact is declared but is not there." in text
    assert len(re.findall("<svg", text)) == 1  # only one history has two points that are finite


def test_no_more_of_an_image_is_read_than_its_size(tmp_path: Path) -> None:
    def lie(rows: dict[str, list[dict[str, object]]]) -> None:
        for row in rows["artifacts"]:
            row["path"] = f"{row['path']}.png"
            if row["size"] == len(WORLD):
                row.update(size=9, digest=sha(BOMB))

    def bomb(frames: list[Frame]) -> None:
        pieces = [(at, BOMB[at : at + 4_000_000]) for at in range(0, len(BOMB), 4_000_000)]
        frames += [Frame(extents=[(bytes.fromhex(sha(BOMB)), at, piece)]) for at, piece in pieces]

    (tmp_path / "a.mlfa").write_bytes(zipped(in_order(build(Draft(frames=bomb, rows=lie)))))
    tracemalloc.start()
    text = page_of(tmp_path / "a.mlfa")
    assert tracemalloc.get_traced_memory()[1] < len(BOMB)
    tracemalloc.stop()
    assert "Images that are not shown: dir/world.txt.png" in text


def page_of(path: Path) -> str:
    with open_archive(path) as opened:
        return "".join(report_html(opened, verify(path), checked={"on": "a machine"}))


def test_the_same_archive_and_check_give_the_same_page(archive: Path) -> None:
    assert page_of(archive) == page_of(archive)


def several_runs(path: Path) -> str:
    """Return the page of three runs, one of them in another, with images, and a model that one of them made."""
    runs = [run(letter * 32, "1", run_name=f"run {letter}") for letter in "abc"]
    model = "m-" + "d" * 32
    rest = chunk(
        [artifact(letter * 32, *file) for letter, file in zip("abc", FILES, strict=True)],
        runs=runs,
        params=pairs("a" * 32, {"lr": "0.1"}),
        tags=pairs("b" * 32, {"mlflow.parentRunId": "a" * 32}),
        metrics=[
            *points("a" * 32, "loss", [4.0, 2.0]),
            *points("b" * 32, "loss", [-1.7e308, 1.7e308]),
            *points("c" * 32, "loss", [1.0, 2.0]),
        ],
        logged_models=[
            {"model_id": model, "experiment_id": "1", "name": "net", "status": "READY", "source_run_id": "a" * 32}
        ],
        registered_models=[{"name": "churn", "workspace": "default"}],
        model_versions=[
            {"name": "churn", "workspace": "default", "version": 1, "run_id": "a" * 32, "source": f"models:/{model}"}
        ],
        traces=[{"trace_id": "tr-1", "experiment_id": "1", "request_time": 0, "state": "OK"}],
        gaps=[
            {"owner_kind": "run", "owner_id": letter * 32, "path": "", "code": "G105", "reason": f"no {letter * 32}"}
            for letter in "abc"
        ],
    )
    first = chunk(experiments=[experiment("1", "churn")])
    copy(ChunkSource((0, [first]), (1, [rest])), ArchiveSink(path, tool="t", clock_ms=lambda: 0), jobs=1)
    return page_of(path)


def test_runs_are_compared_in_a_table_and_in_charts_with_axes(tmp_path: Path) -> None:
    text = several_runs(tmp_path / "a")
    table = text[text.index("<th>params.lr</th>") :]
    order = re.findall(r"(&emsp;)?<a href=\"#id-[abc]{32}\">run ([abc])</a>", table)
    assert order == [("", "a"), ("&emsp;", "b"), ("", "c")]
    assert text.count("<figcaption>loss</figcaption>") == 1
    assert text.count('class="axis"') == 1
    assert "nan" not in text  # the span of the two largest floats is no float
    assert text.count("<svg") == 1 + 3


def test_links_lead_to_what_is_there(tmp_path: Path) -> None:
    page = Page(several_runs(tmp_path / "a"))
    fragments = {target for target in page.targets if target.startswith("#")}
    assert {f"#id-{'a' * 32}", f"#id-m-{'d' * 32}", "#models", "#traces"} <= fragments
    assert {fragment[1:] for fragment in fragments} <= page.ids


def test_images_are_in_the_page_as_far_as_there_is_room(tmp_path: Path) -> None:
    text = several_runs(tmp_path / "a")
    images = [target for target in Page(text).targets if target.startswith("data:")]
    assert images == [f"data:image/png;base64,{base64.b64encode(PNG).decode()}"]
    assert "Images that are not shown: no.png" in text
    assert "Images that are not shown: big.png" in text
    assert "2 images had no room" in text


def test_what_is_missing_is_said_by_cause(tmp_path: Path) -> None:
    text = several_runs(tmp_path / "a")
    row = text[text.index("What could not be exported") : text.index('<h2 id="runs">')]
    assert f"<td>no {'a' * 32}</td><td>3</td>" in row
    assert row.count("<td>G105</td><td>") == 1


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
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form"}
    assert not page.attributes & {"src", "onerror", "onload"}
    assert all(target.startswith("#") for target in page.targets)


def test_runs_beyond_the_limit_are_counted(cli: Command, archive: Path, tmp_path: Path) -> None:
    assert cli("report", archive, "-o", tmp_path / "r.html", "-q", "--runs", "1").code == 0
    text = (tmp_path / "r.html").read_text()
    assert text.count("<details") == 1
    assert text.count("1 more runs are in the archive") == 2


def test_runs_of_an_experiment_that_a_damaged_archive_has_often_are_shown_once(cli: Command, tmp_path: Path) -> None:
    draft = Draft(rows=lambda rows: rows["experiments"].extend(rows["experiments"] * 4))
    (tmp_path / "a.mlfa").write_bytes(zipped(in_order(build(draft))))
    assert cli("report", tmp_path / "a.mlfa", "-o", tmp_path / "r.html", "-q").code == 12
    text = (tmp_path / "r.html").read_text()
    assert (text.count("<h3>one</h3>"), text.count("<details id=")) == (5, 2)


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


def test_of_a_delta_it_says_what_it_did_not_look_at(cli: Command, tmp_path: Path) -> None:
    base, delta = tmp_path / "base.mlfa", tmp_path / "delta.mlfa"
    for path, runs, options in ((base, 1, ArchiveOptions()), (delta, 2, ArchiveOptions(base=base))):
        copy(
            MemorySource(MemoryOptions(runs=runs)),
            ArchiveSink(path, options, tool="test 1", clock_ms=lambda: 1),
            jobs=1,
        )
    place = verify(delta).elsewhere
    assert place is not None
    said = (
        f"A delta: {place.members:,} members ({place.bytes:,} bytes) lie in its base, archive {place.base}. They were"
    )
    of_gaps = "Nothing is known to be missing."
    for arguments in ((), ("--verify", "no")):
        assert cli("report", delta, "-o", tmp_path / "alone.html", "-q", *arguments).code == 0
        alone = (tmp_path / "alone.html").read_text()
        assert (said in alone, of_gaps in alone) == (True, False)
    assert cli("report", delta, "--base", base, "-o", tmp_path / "both.html", "-q").code == 0
    both = (tmp_path / "both.html").read_text()
    assert ("A delta:" in both, of_gaps in both) == (False, True)
