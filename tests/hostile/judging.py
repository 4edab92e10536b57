"""Every command on a mutant, and what must be true of each: a known exit code, little time and memory, no traceback, no
script in a page, no escape on a terminal, nothing written elsewhere. And of all together: what `verify` calls sound,
no command calls damaged.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from mlflow_archive.kinds import TABLES
from mlflow_archive_cli.main import run
from tests.conformance import independent_reader
from tests.hostile.base import MODEL, TRACE
from tests.hostile.contents import as_single_file
from tests.hostile.in_python import look
from tests.hostile.mutants import Mutant
from tests.hostile.texts import CANARY
from tests.spec.drafts import RUN_A, RUN_B, Files
from tests.support.databases import empty_database
from tests.support.later_database import as_if_installed, empty_later_database

MAX_SECONDS: Final = 20
MAX_BYTES: Final = 1 << 30
EXIT_CODES: Final = frozenset({0, 1, 2, 3, 10, 11, 12})
DAMAGED: Final = frozenset({10, 11, 12})
_TAGS: Final = re.compile(
    "html|head|meta|title|style|body|nav|h1|h2|h3|p|div|span|b|a|code|table|tr|th|td|details|summary|"
    "figure|figcaption|img|svg|path|text"
)
_PLAIN: Final = re.compile("lang|charset|http-equiv|content|class|id|width|height|role|d|x|y|alt|text-anchor")
_ATTRIBUTES: Final = {
    "href": "(?s)#.*",
    "src": "data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=]+",
    "style": "(stroke|color):#[0-9a-f]+",
}
"""Other attributes that a page of ours has, with the form of their values: they could do something."""
_NO_PLACE: Final = b" cannot take this; nothing was written"
"""What a restore says where the archive is right, but has values for which the target has no place."""

_STEERS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command and how it ended; ``error`` is the traceback, empty for none, ``seconds`` those of the processor."""

    name: str
    code: int
    seconds: float
    grown: int
    out: bytes
    err: bytes
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where mutants are judged: a folder of their own, the sound archive, empty databases to put them into.

    That for restores has all tables, whatever the installed MLflow knows.
    """

    folder: Path
    sound: Path
    database: Path
    whole_database: Path


def make_ground(folder: Path, sound: Files) -> Ground:
    """Make the ground in a folder, which is there and empty."""
    here, archive, whole = folder / "here", folder / "sound.mlfa", folder / "whole.db"
    here.mkdir()
    archive.write_bytes(as_single_file(sound))
    as_if_installed(empty_later_database(whole))
    return Ground(folder=here, sound=archive, database=empty_database(), whole_database=whole)


@dataclass(slots=True, kw_only=True)
class Judgement:
    """What is wrong with the way the commands deal with one mutant, and how each ended."""

    mutant: Mutant
    faults: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether `verify` finds nothing wrong."""
        return self.codes["verify -q"] == 0


def reading(mutant: Path, ground: Ground) -> Iterator[list[str]]:
    """Yield the commands that look into an archive."""
    path, out = str(mutant), ground.folder / "out"
    yield ["verify", path, "-q"]
    for arguments in (["info"], ["ls"], ["ls", "@", "runs", "--columns", "*"], ["ls", "@", "artifacts"]):
        yield [arguments[0], path, *arguments[2:]]
    yield ["info", path, "--json"]
    yield ["info", path, "--at", "1"]
    yield ["ls", path, "exports"]
    for kind in ("models", "model-versions", "logged-models", "traces", "datasets"):
        yield ["ls", path, kind, "--columns", "*", "--csv" if kind == "traces" else "--json"]
    yield ["ls", path, "runs", "--filter", "params.depth = '3' and metrics.loss < 5 and tags.`mlflow.user` like 'a%'"]
    for name in (RUN_A, MODEL, TRACE, "churn"):
        yield ["show", path, name]
    yield ["show", path, RUN_A, "--json"]
    yield ["show", path, TRACE, "--json"]
    yield ["show", path, "--experiment", "1"]
    yield ["tree", path, RUN_A]
    yield ["cat", path, f"{RUN_A}/a b.txt"]
    yield ["cat", path, f"{RUN_B}/large.bin"]
    yield ["extract", path, RUN_A, RUN_B, "--to", str(out)]
    yield ["history", path, RUN_A]
    yield ["history", path, RUN_A, "--csv"]
    yield ["report", path, "-o", str(ground.folder / "report.html")]
    yield ["sql", path, "select * from runs left join params using (run_id) left join tags using (run_id)"]
    yield ["sql", path, "select * from latest_metrics, spans, model_versions, artifacts limit 100", "--json"]
    yield ["diff", path, str(ground.sound)]
    yield ["python", "objects", path]
    yield ["python", "tables", path]


def writing(mutant: Path, ground: Ground) -> Iterator[list[str]]:
    """Yield the commands that bring an archive somewhere else, a database each into a copy of an empty one."""
    path, files = str(mutant), str(ground.folder / "out")
    for name, database in (("restored.db", ground.whole_database), ("imported.db", ground.database)):
        shutil.copyfile(database, ground.folder / name)
    restored, imported = (f"sqlite:///{ground.folder / name}" for name in ("restored.db", "imported.db"))
    yield ["python", "served", path]
    yield ["restore", path, "--to", restored, "--artifact-root", files, "--dry-run", "-q"]
    yield ["restore", path, "--to", restored, "--artifact-root", files, "-q"]
    yield ["import", path, "--to", imported, "--artifact-root", files, "--dry-run", "-q"]
    yield ["import", path, "--to", imported, "--artifact-root", files, "-q", "--receipt", f"{files}.json"]
    yield ["repair", path, "-o", str(ground.folder / "mended.mlfa"), "--salvage", "-q"]
    yield ["index", path, "-o", str(ground.folder / "base.index")]
    yield ["compact", path, "-o", str(ground.folder / "thin.mlfa"), "--keep-last", "1", "-q"]


def judge(
    mutant: Mutant,
    ground: Ground,
    commands: Sequence[list[str]],
    *,
    begun: Callable[[str], object] = lambda command: None,
) -> Judgement:
    """Run commands on a mutant and return what is wrong; afterwards the folder of the ground is empty.

    ``begun`` is told each command before it runs.
    """
    judgement = Judgement(mutant=mutant)
    before = _surroundings(ground)
    refusals = []
    for arguments in commands:
        begun(" ".join(arguments))
        ran = run_here(arguments, ground)
        judgement.codes[ran.name] = ran.code
        fails = ran.code == 1 and arguments[0] in ("restore", "import") and _NO_PLACE not in ran.err
        if ran.code in DAMAGED or fails:
            refusals.append(f"{ran.name} ends with {ran.code}: {ran.err[-500:].decode('utf-8', 'replace')}")
        judgement.faults += [f"{ran.name}: {fault}" for fault in _faults(arguments, ran)]
    if (page := ground.folder / "report.html").exists():
        judgement.faults += [f"report: {fault}" for fault in page_faults(page.read_text("utf-8"))]
    judgement.faults += [f"written outside: {path}" for path in sorted(_surroundings(ground) - before)]
    if judgement.sound:
        judgement.faults += [f"verify says sound, {refusal}" for refusal in refusals]
        judgement.faults += _faults_for_a_stranger(mutant.path)
    for entry in ground.folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return judgement


def _faults_for_a_stranger(path: Path) -> Iterator[str]:
    """Yield why a reader that was written from the specification alone cannot read all of what is called sound."""
    try:
        archive = independent_reader.Archive(path)
        for table in TABLES:
            list(archive.rows(table))
        sizes = [(len(archive.blob(row["digest"])), row["size"]) for row in archive.rows("artifacts")]
        archive.close()
    except Exception:
        yield f"verify says sound, a stranger reads: {traceback.format_exc()[-1500:]}"
    else:
        if any(size != stated for size, stated in sizes):
            yield "verify says sound, a stranger finds an artifact of another size"


def run_here(arguments: Sequence[str], ground: Ground) -> Ran:
    """Run a command in this process, which gets no more memory than it may have."""
    name = " ".join(part for part in arguments if not part.startswith(("/", "sqlite:")))
    error, code = "", -1
    with _streams(ground.folder) as (out, err), _limited() as peak:
        started = time.process_time()  # a busy machine is not the archive's fault
        try:
            code = _look(arguments, ground) if arguments[0] == "python" else run(arguments)
        except BaseException:  # what a command must never let through
            error = traceback.format_exc()
        seconds, grown = time.process_time() - started, peak()
    said = Ran(
        name=name, code=code, seconds=seconds, grown=grown, out=out.read_bytes(), err=err.read_bytes(), error=error
    )
    out.unlink()
    err.unlink()
    return said


def _look(arguments: Sequence[str], ground: Ground) -> int:
    return look(arguments[1], Path(arguments[2]), ground.folder)


def _faults(arguments: Sequence[str], ran: Ran) -> Iterator[str]:
    if ran.error or b"Traceback" in ran.err:
        yield f"traceback: {ran.error[-1500:] or ran.err[-1500:].decode('utf-8', 'replace')}"
    elif ran.code not in EXIT_CODES:
        yield f"exit code {ran.code}"
    if ran.seconds > MAX_SECONDS:
        yield f"{ran.seconds:.0f} seconds"
    if ran.grown > MAX_BYTES:
        yield f"{ran.grown >> 20} MiB of memory"
    texts = [ran.err] if arguments[0] == "cat" or "--csv" in arguments else [ran.err, ran.out]
    for text in texts:
        if found := _STEERS.search(text.decode("utf-8", "replace")):
            yield f"{found[0]!r} on the terminal"
    if ran.code and not ran.err and arguments[0] not in ("verify", "repair", "diff", "report", "python"):
        yield f"exit code {ran.code} without a word"


def _is_ours(name: str, value: str) -> bool:
    form = _ATTRIBUTES.get(name)
    return bool(_PLAIN.fullmatch(name) if form is None else re.fullmatch(form, value))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        strange = [name for name, value in attrs if not _is_ours(name, value or "")]
        if not _TAGS.fullmatch(tag) or strange:
            self.faults.append(f"<{tag} {' '.join(strange)}> in the page")


def page_faults(page: str) -> list[str]:
    """Return the tags and attributes in a page that no page of ours has."""
    parser = _Page()
    parser.feed(page)
    parser.close()
    return parser.faults


def _surroundings(ground: Ground) -> set[str]:
    """Return what lies around the folder of the ground, and whatever has the name of the canary where none may be.

    In the folder that artifacts are written to a file may have an odd name: `..\\x` is one here.
    """
    around = {str(path) for path in ground.folder.parent.iterdir()}
    strays = (Path("/", CANARY), Path("/tmp", CANARY), Path.home() / CANARY, Path.cwd() / CANARY)  # noqa: S108
    inside = {str(path) for path in ground.folder.glob(f"*{CANARY}*")}
    return around | inside | {str(path) for path in strays if path.exists()}


@contextmanager
def _streams(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Send stdout and stderr of this process, down to its descriptors, into files."""
    paths = folder / "stdout", folder / "stderr"
    kept = [os.dup(1), os.dup(2)]
    streams = sys.stdout, sys.stderr
    files = [path.open("w", encoding="utf-8", errors="backslashreplace") for path in paths]
    for descriptor, file in zip((1, 2), files, strict=True):
        os.dup2(file.fileno(), descriptor)
    sys.stdout, sys.stderr = files
    try:
        yield paths
    finally:
        sys.stdout, sys.stderr = streams
        for descriptor, old, file in zip((1, 2), kept, files, strict=True):
            file.close()
            os.dup2(old, descriptor)
            os.close(old)


@contextmanager
def _limited() -> Iterator[Callable[[], int]]:
    """Give this process no more than so much memory beyond what it has; yield how much more it came to have."""
    before = _status("VmRSS")
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + 2 * MAX_BYTES, hard))
    Path("/proc/self/clear_refs").write_text("5")
    try:
        yield lambda: _status("VmHWM") - before
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text("ascii")
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) * 1024  # type: ignore[index]
