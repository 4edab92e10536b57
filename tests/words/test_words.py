"""The words of the code: names that say what they hold, and one thing for each public class name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.words.vague_names import bindings, is_vague

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("archive", "cli")
CEILING_PERCENT = 0.5
"""The most that may be vague of all bindings; it is only ever lowered."""


def modules(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def percent_vague(paths: Iterable[Path]) -> float:
    names = [binding.name for path in paths for binding in bindings(path)]
    return 100 * sum(map(is_vague, names)) / max(1, len(names))


def classes_of_several_modules(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the public class names that more than one module defines, with these modules."""
    places: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    return {name: defined for name, defined in places.items() if len(defined) > 1}


def test_names_say_what_they_hold() -> None:
    """``python -m tests.words.vague_names`` lists those that do not."""
    assert percent_vague(modules(*(REPOSITORY / folder for folder in FOLDERS))) <= CEILING_PERCENT


def test_a_public_class_name_stands_for_one_thing() -> None:
    twice = classes_of_several_modules(modules(*(REPOSITORY / folder for folder in FOLDERS)))
    assert twice == {}


def test_the_measures_see_what_they_should(tmp_path: Path) -> None:
    """Half of these bindings are vague: a target, a parameter, a loop and an attribute of eight."""
    (tmp_path / "one.py").write_text(
        "class Place:\n"
        "    def hold(self, found, path):\n"
        "        self._kept = path\n"
        "        rows = [row for row in found]\n"
        "        for each in rows:\n"
        "            left, size = each\n"
    )
    (tmp_path / "two.py").write_text("class Place: ...\nclass _Place: ...\nclass Place2: ...\n")
    paths = modules(tmp_path)
    assert percent_vague(paths) == 50
    assert classes_of_several_modules(paths) == {"Place": [tmp_path / "one.py", tmp_path / "two.py"]}
