"""A hundred mutants in this process, an eighth of the commands on each; ``make test-hostile`` judges 2,000 by all."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.hostile.base import bases
from tests.hostile.contents import as_single_file, taken_apart
from tests.hostile.judging import Ground, judge, make_ground, page_faults, reading, writing
from tests.hostile.mutants import Mutant, make_mutant
from tests.spec.drafts import Files

SEED = 11
GROUPS, IN_GROUP, SHARES = 10, 10, 8


@cache
def _bases() -> tuple[Files, ...]:
    return bases()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return make_ground(tmp_path, _bases()[0])


@pytest.mark.parametrize("number", range(2))
def test_a_base_is_sound(number: int, ground: Ground) -> None:
    """Taken apart and put together it is the same, and every command ends well on it."""
    files = _bases()[number]
    assert taken_apart(files).build() == files
    path = ground.folder / "base.mlfa"
    path.write_bytes(as_single_file(files))
    commands = [*reading(path, ground), *writing(path, ground)]
    judgement = judge(Mutant(number=0, what="nothing", path=path), ground, commands)
    assert judgement.faults == []
    refused = {name: code for name, code in judgement.codes.items() if code}
    assert not refused if number == 0 else set(refused.values()) <= {1, 3}  # skills, which not every MLflow has


@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", range(GROUPS))
def test_no_mutant_costs_more_than_a_refusal(group: int, ground: Ground) -> None:
    for number in range(group * IN_GROUP, (group + 1) * IN_GROUP):
        mutant = make_mutant(_bases(), number, SEED, ground.folder)
        commands = [*reading(mutant.path, ground), *writing(mutant.path, ground)]
        judgement = judge(mutant, ground, [commands[0], *commands[1 + number % SHARES :: SHARES]])
        assert not judgement.faults, f"mutant {number} of seed {SEED}, {mutant.what}"


def test_a_mutant_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        mutants = [make_mutant(_bases(), number, SEED, tmp_path / name) for number in range(3)]
        made.append([(mutant.what, mutant.path.is_dir() or mutant.path.read_bytes()) for mutant in mutants])
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "page",
    [
        *("<p onclick=x>", "<script>", "<a href=x>", "<img src=x>", '<p class="a" style="x">', "<iframe>"),
        *("<a href='javascript:x'>", "<img src='data:image/svg+xml;base64,aa'>", "<p style='color:#fff;x:url(y)'>"),
    ],
)
def test_what_no_page_may_have(page: str) -> None:
    assert page_faults(page)
    assert not page_faults("<p class=good>1 &lt;script&gt;</p><a href='#x'>x</a>")
