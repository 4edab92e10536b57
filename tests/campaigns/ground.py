"""What all campaigns stand on: a filled server, archives of it, and what comes of them where nothing fails."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.campaigns.command import Ended, run
from tests.campaigns.content import Content, differences_of, read_content
from tests.campaigns.faults import Fault
from tests.campaigns.faulty_proxy import Plan
from tests.campaigns.store import EMPTY, FULL, Store, store_server


@dataclass(kw_only=True)
class Ground:
    """``archive`` was exported from the server with nothing in the way.

    ``seed`` decides all chance. ``stall_seconds`` is how long a stall takes; a client gives up after half of it.
    """

    folder: Path
    store: Store
    seed: str
    archive: Path
    stall_seconds: float = 30.0
    rate: float = 0.2
    longest_seconds: float = 900.0
    keeps_folders: bool = False
    _numbers: Iterator[int] = field(default_factory=count)
    _imported: Content | None = None

    def new_folder(self, name: str) -> Path:
        """Make a folder that stays."""
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def trial_folder(self, name: str) -> Iterator[Path]:
        """Make a folder for one trial, and remove it at its end."""
        folder = self.new_folder(name)
        yield folder
        if not self.keeps_folders:
            shutil.rmtree(folder)

    def chance(self, *names: object) -> random.Random:
        """Return the chance of one trial: the same for the same names and seed."""
        return random.Random(" ".join(map(str, (self.seed, *names))))  # noqa: S311

    def plan(self, faults: tuple[Fault, ...], *names: object) -> Plan:
        """Return the plan of a proxy for one trial."""
        return Plan(
            seed=" ".join(map(str, (self.seed, *names))),
            faults=faults,
            rate=self.rate,
            stall_seconds=self.stall_seconds,
            longest_seconds=self.longest_seconds,
        )

    def settings(self, faults: tuple[Fault, ...]) -> dict[str, str]:
        """Return the environment of a client: it is impatient where there are stalls."""
        if Fault.STALL not in faults:
            return {}
        return {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(self.stall_seconds / 2)))}

    def imported(self) -> Content:
        """Return what an import of ``archive`` makes of an empty server where nothing fails.

        Raises AssertionError where it is not as many rows of each table as the source has.
        """
        if self._imported is None:
            self.store.go_to(EMPTY)
            folder = self.new_folder("clean-import")
            must_end(run(folder, "import", str(self.archive), "--to", self.store.server.uri), 0)
            self.expect(self.target(folder))
        assert self._imported is not None
        return self._imported

    def expect(self, content: Content) -> None:
        """Take what the server holds after an import with nothing in the way for what all imports must make of it."""
        source = read_content(self.archive)
        assert content.counts == source.counts, (content.counts, source.counts)
        assert not content.doubles
        if self._imported is not None:
            assert list(differences_of(self._imported, content)) == []
        self._imported = content

    def target(self, folder: Path) -> Content:
        """Return what the server holds now, read from its database."""
        path, server = folder / "target.mlfa", self.store.server
        places = ("--from", server.backend, "--artifacts-destination", str(server.artifacts))
        must_end(
            run(folder / "target-export", "export", str(path), *places, warm=True), 0, 3
        )  # gaps are rows like others
        return read_content(path)


def must_end(ended: Ended, *codes: int) -> None:
    """Raise AssertionError where something failed although nothing was in the way."""
    assert ended.code in codes, f"exit code {ended.code} where nothing fails: {ended.stderr[-2000:]}"


@contextmanager
def open_ground(folder: Path, seed: str, *, extra_runs: int = 0) -> Iterator[Ground]:
    """Start and fill a server, and export it."""
    with store_server(folder) as store:
        with redirect_stdout(sys.stderr):  # MLflow's client prints where each run can be seen
            store.fill(extra_runs=extra_runs)
        store.keep(FULL)
        archive = folder / "reference.mlfa"
        must_end(run(folder / "reference-export", "export", str(archive), "--from", store.server.uri), 0)
        yield Ground(folder=folder, store=store, seed=seed, archive=archive)
