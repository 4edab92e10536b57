"""Campaign B: imports into an empty server through a network with faults, each compared with one through none."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

from tests.campaigns.command import run
from tests.campaigns.content import Content, differences_of
from tests.campaigns.exports import plain
from tests.campaigns.faults import Fault
from tests.campaigns.faulty_proxy import faulty_proxy
from tests.campaigns.ground import Ground
from tests.campaigns.outcomes import Outcome, Trial, outcome_of
from tests.campaigns.store import EMPTY


def import_trial(ground: Ground, name: str, faults: tuple[Fault, ...], number: int) -> Trial:
    """Import once into an empty server; what did not end with 0 is repeated without faults."""
    with ground.trial_folder("import") as folder:
        return _trial(ground, name, faults, number, folder)


def _trial(ground: Ground, name: str, faults: tuple[Fault, ...], number: int, folder: Path) -> Trial:
    expected = ground.imported()
    ground.store.go_to(EMPTY)
    with faulty_proxy(ground.store.server.uri, ground.plan(faults, "import", name, number)) as proxy:
        settings = ground.settings(faults)
        arguments = ("import", str(ground.archive), "--to", proxy.uri)
        ended = run(folder, *arguments, settings=settings, longest_seconds=ground.longest_seconds)
    outcome, reason = outcome_of(ended), "" if ended.code == 0 else f"exit code {ended.code}, {plain(ended.last_line)}"
    counts = Counter({"requests": proxy.requests, "spoilt": len(proxy.spoilt), "seconds": round(ended.seconds)})
    content = ground.target(folder)
    counts["doubles"] = content.doubles.total()
    wrong = doubles_of(content) or (ended.code == 0 and altered(expected, content))
    if not wrong and ended.code != 0:
        wrong = not_mended(ground, expected, folder / "again")
    if wrong:
        outcome, reason = Outcome.WRONG, f"{reason or 'exit code 0'}; {wrong}"
    return Trial(name=name, outcome=outcome, reason=reason, counts=counts, faults=proxy.counts)


def doubles_of(content: Content) -> str:
    """Say what is there more than once."""
    return "".join(f"{number} {kind} too many " for kind, number in content.doubles.items())


def altered(expected: Content, content: Content) -> str:
    """Say what is missing, altered or too much."""
    lines = [line.split(":")[0] for line in differences_of(expected, content)]
    first = "; ".join(line[:160] for line in islice(differences_of(expected, content), 1))
    return f"differs in {', '.join(sorted(set(lines)))[:160]}, such as {first}" if lines else ""


def not_mended(ground: Ground, expected: Content, folder: Path) -> str:
    """Repeat an import without faults; say what is not right after that."""
    again = run(folder, "import", str(ground.archive), "--to", ground.store.server.uri)
    if again.code != 0:
        return f"the same command then ends with {again.code}: {plain(again.last_line)}"
    content = ground.target(folder)
    difference = doubles_of(content) or altered(expected, content)
    return f"the same command then ends with 0, and {difference}" if difference else ""


def imports(ground: Ground, name: str, faults: tuple[Fault, ...], trials: int) -> list[Trial]:
    """Import some times, each into an empty server."""
    return [import_trial(ground, name, faults, number) for number in range(trials)]
