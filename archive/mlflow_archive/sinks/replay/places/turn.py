"""Imports of one source into one target take turns, as MLflow takes two of anything that is made at the same moment.

Who is next is found out by Lamport's bakery algorithm over tags of an experiment that is there already (decision 0021):
each import writes only its own tag, chooses a number above all others, and waits for those with smaller ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, Self
from uuid import uuid4

from mlflow_archive.errors import ServerError
from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.sinks.replay.places.experiments import INCOMPLETE, STATE, tags_of_experiment
from mlflow_archive.sinks.replay.target.target import Target, pairs_of
from mlflow_archive.sinks.replay.writing.failures import check_one_item, is_missing

_PROCESSES: Final = Path("/proc")
_ENDED: Final = ("Z", "X")
"""States of a process that has ended and was not collected yet."""


def process_name() -> str:
    """Return ``MACHINE PID START``: a digest that names the machine, the process id there, and when it started."""
    now = _state_of(os.getpid())
    return f"{_machine()} {os.getpid()} {'' if now is None else now[1]}"


def has_ended(name: str) -> bool:
    """Return whether the process of a name is surely gone; of one on another machine nothing is known here."""
    machine, _, rest = name.partition(" ")
    pid, _, start = rest.partition(" ")
    if machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    now = _state_of(int(pid))
    return now is not None and (now[0] in _ENDED or now[1] != start)


def _machine() -> str:
    """Return a digest of what processes share that see each other's ids: a machine since it started, or a container."""
    parts = [platform.node()]
    with suppress(OSError):  # only Linux has these
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _state_of(pid: int) -> tuple[str, str] | None:
    """Return the state of a process and when it started, in ticks; None where the system does not show that."""
    try:
        text = (_PROCESSES / str(pid) / "stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name of the program comes before, and may hold anything
    return fields[0], fields[19]


KEY: Final = OWN_PREFIX + "import_turn."
"""Start of the key of such a tag; then comes what tells this import from all others."""
_ANY: Final = "any"
_LONGEST: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One import. ``number`` is its place in the line, None while it chooses one.

    ``beat`` changes for as long as it runs, ``process`` is the name of its process. ``sources`` are digests of where
    its objects come from, and ``ended`` names the imports that it has taken for dead.
    """

    name: str
    number: int | None = None
    beat: int = 0
    process: str = ""
    sources: frozenset[str] = frozenset({_ANY})
    ended: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The key of its tag."""
        return KEY + self.name

    @property
    def text(self) -> str:
        """The value of its tag; sources that would make that too long become any source."""
        fields = {
            "number": self.number,
            "beat": self.beat,
            "process": self.process,
            "ended": sorted(self.ended),
            "sources": sorted(self.sources),
        }
        text = json.dumps(fields)
        return text if len(text) <= _LONGEST else json.dumps({**fields, "sources": [_ANY]})

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Read a tag; one that says something else, as one half written, is an import that chooses."""
        try:
            fields = json.loads(text)
            return cls(
                name=name,
                number=None if fields["number"] is None else int(fields["number"]),
                beat=int(fields["beat"]),
                process=str(fields["process"]),
                sources=frozenset(map(str, fields["sources"])),
                ended=frozenset(map(str, fields["ended"])),
            )
        except (ValueError, TypeError, KeyError):
            return cls(name=name)

    def is_ahead_of(self, other: Self) -> bool:
        """Return whether another import must wait for this one."""
        if not (self.sources & other.sources or _ANY in self.sources | other.sources):
            return False
        if self.number is None or other.number is None:
            return self.number is None
        return (self.number, self.name) < (other.number, other.name)


def claims_of(tags: Mapping[str, str]) -> dict[str, Claim]:
    """Return the imports that the tags of an experiment tell of, by name."""
    names = [key.removeprefix(KEY) for key in tags if key.startswith(KEY)]
    return {name: Claim.parse(name, tags[KEY + name]) for name in names}


BEAT_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 60.0
"""An import on another machine that has not said for so long that it runs is taken for dead."""
_LOOK_SECONDS: Final = 1.0
_LONGEST_FAREWELL_SECONDS: Final = 5.0
_CANDIDATES: Final = 10
_API: Final = "/api/2.0/mlflow/experiments/"


class Turn:
    """The turn of one import. ``sources`` are the tracking URIs that its objects come from.

    ``workspace`` is where to look for an experiment to tag if there is none in the target as it is. ``tell`` is called
    with a sentence when it has to wait. Usable by several threads once ``take`` has returned.
    """

    def __init__(
        self, target: Target, sources: Collection[str], *, tell: Callable[[str], None], workspace: str | None = None
    ) -> None:
        self._target, self._workspace, self._tell = target, workspace, tell
        digests = frozenset(hashlib.sha256(source.encode()).hexdigest()[:12] for source in sources)
        self._claim = Claim(name=uuid4().hex, process=process_name(), sources=digests)
        self._experiment_id: str | None = None
        self._lock = Lock()
        self._over = Event()
        self._is_lost = False
        self._thread = Thread(target=self._go_on_saying, name="import turn", daemon=True)
        self._seen: dict[str, tuple[Claim, float]] = {}

    def take(self) -> None:
        """Return when no other import of the same source writes into the target.

        In a target without an experiment that can be tagged, and tags taken off again, imports do not take turns.
        """
        self._experiment_id = self._find_experiment()
        if self._experiment_id is None and self._workspace is not None:
            self._target = self._target.in_workspace(self._workspace)
            self._experiment_id = self._find_experiment()
        if self._experiment_id is None:
            return
        self._say()
        numbers = [claim.number or 0 for claim in self._others()]
        self._say(number=max(numbers, default=0) + 1)
        self._thread.start()
        self._wait()

    def check(self) -> None:
        """Raise ServerError where another import has taken this one for dead, and writes now."""
        if self._is_lost:
            message = (
                f"another import into {self._target.uri} took this one for dead, as it said nothing for "
                f"{SILENT_SECONDS:.0f} s, and goes on in its place; repeat this one when that has ended"
            )
            raise ServerError(message)

    def give_back(self) -> None:
        """Let the next import begin. Where the target does not take that, the next one finds out by itself."""
        self._over.set()
        try:
            if self._thread.is_alive():
                self._thread.join()
            with self._lock:
                experiment_id, self._experiment_id = self._experiment_id, None
            if experiment_id is not None:
                self._remove(experiment_id, self._claim)
        except ServerError as exc:
            self._tell(f"the next import has to find out that this one has ended: {exc}")

    def leave(self) -> None:
        """Give the turn back, but do not wait long for a target that perhaps answers no more."""
        farewell = Thread(target=self.give_back, name="end of import turn", daemon=True)
        farewell.start()
        farewell.join(_LONGEST_FAREWELL_SECONDS)

    def _find_experiment(self) -> str | None:
        """Return the experiment to tag; None where this user may tag none."""
        try:
            return next((place for place in self._experiments() if self._can_tag(place)), None)
        except ServerError as exc:
            check_one_item(exc)
            return None

    def _experiments(self) -> Iterator[str]:
        """Yield the oldest active experiments, the same for all imports; none that an import is about to delete."""
        body = {"max_results": _CANDIDATES, "view_type": "ACTIVE_ONLY", "order_by": ["creation_time ASC"]}
        for experiment in self._target.api.post(_API + "search", body).get("experiments", []):
            if pairs_of(experiment.get("tags", [])).get(STATE) != INCOMPLETE:
                yield experiment["experiment_id"]

    def _can_tag(self, experiment_id: str) -> bool:
        """Return whether tags of an experiment can be set and deleted by this user; MLflow before 3.2 deletes none."""
        try:
            self._remove(experiment_id, self._claim)
        except ServerError as exc:
            check_one_item(exc)
            return False
        return True

    def _say(self, *, number: int | None = None, ended: frozenset[str] = frozenset()) -> None:
        """Write the tag, with a new beat."""
        with self._lock:
            if self._experiment_id is None:
                return
            claim = self._claim
            self._claim = replace(claim, beat=claim.beat + 1, number=number or claim.number, ended=claim.ended | ended)
            self._target.set_experiment_tag(self._experiment_id, self._claim.key, self._claim.text)

    def _others(self) -> list[Claim]:
        """Return the other imports; notes where one of them has taken this one for dead."""
        if self._experiment_id is None:
            return []
        claims = claims_of(tags_of_experiment(self._target.api, self._experiment_id))
        own = claims.pop(self._claim.name, None)
        self._is_lost |= own is None or any(self._claim.name in claim.ended for claim in claims.values())
        return list(claims.values())

    def _wait(self) -> None:
        """Wait for all that are ahead; a dead one is taken out of the line."""
        told = False
        while True:
            ahead = [claim for claim in self._others() if claim.is_ahead_of(self._claim)]
            self.check()
            for claim in [claim for claim in ahead if self._is_dead(claim)]:
                self._say(ended=frozenset({claim.name}))
                if self._experiment_id is not None:
                    self._remove(self._experiment_id, claim)
                ahead.remove(claim)
            if not ahead:
                return
            if not told:
                self._tell(f"another import of the same source writes into {self._target.uri}; this one waits for it")
                told = True
            time.sleep(_LOOK_SECONDS)

    def _is_dead(self, claim: Claim) -> bool:
        """Return whether an import has ended without a word, by what this machine knows and by its silence."""
        if has_ended(claim.process):
            return True
        known, since = self._seen.get(claim.name, (None, 0.0))
        if known != claim:
            self._seen[claim.name] = (claim, time.monotonic())
            return False
        return time.monotonic() - since > SILENT_SECONDS

    def _remove(self, experiment_id: str, claim: Claim) -> None:
        try:
            self._target.api.post(_API + "delete-experiment-tag", {"experiment_id": experiment_id, "key": claim.key})
        except ServerError as exc:
            if not is_missing(exc):
                raise

    def _go_on_saying(self) -> None:
        """Say that this import runs, until it ends or is taken for dead."""
        while not self._over.wait(BEAT_SECONDS):
            try:
                self._say()
                self._others()
            except ServerError:  # what is wrong with the target is said by the requests that it is there for
                continue
            if self._is_lost:
                return
