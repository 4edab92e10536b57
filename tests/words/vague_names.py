"""Count the names that say nothing of what they hold: ``python -m tests.words.vague_names [FOLDER …]``.

A binding is a place where a name gets a value: an assignment, a loop, a parameter, a ``with``, a walrus, a
comprehension, a pattern. It is vague where the name as a whole is a participle or a pronoun (``found``, ``each``,
``there``) that could hold anything. Prints each with its place, then the share of all bindings.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VAGUE: Final = frozenset(
    (
        "another",
        "any_",
        "asked",
        "both",
        "brought",
        "chosen",
        "each",
        "either",
        "few",
        "found",
        "given",
        "gone",
        "got",
        "had",
        "held",
        "here",
        "kept",
        "left",
        "lost",
        "made",
        "many",
        "more",
        "most",
        "much",
        "named",
        "nothing",
        "one",
        "ones",
        "other",
        "others",
        "own_",
        "said",
        "same",
        "seen",
        "several",
        "shown",
        "so_",
        "some",
        "stated",
        "standing",
        "such",
        "taken",
        "that",
        "them",
        "then",
        "there",
        "these",
        "they",
        "thing",
        "things",
        "this",
        "those",
        "told",
        "under_way",
        "wanted",
        "what",
        "which",
        "whose",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A name that gets a value at a place."""

    path: Path
    line: int
    name: str


def bindings(path: Path) -> Iterator[Binding]:
    """Yield all bindings of a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        for name, line in _names(node):
            yield Binding(path=path, line=line, name=name)


def _names(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id, node.lineno
    elif isinstance(node, ast.arg) and node.arg not in ("self", "cls"):
        yield node.arg, node.lineno
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name, node.lineno
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr, node.lineno


def is_vague(name: str) -> bool:
    """Return whether a name, without leading underscores, is one of ``VAGUE``."""
    return name.lstrip("_") in VAGUE


def main(folders: list[str]) -> None:
    """Print the vague bindings below some folders and their share."""
    paths = [path for folder in folders or ["archive", "cli"] for path in sorted(Path(folder).rglob("*.py"))]
    everything = [binding for path in paths for binding in bindings(path)]
    vague = [binding for binding in everything if is_vague(binding.name)]
    for binding in vague:
        print(f"{binding.path}:{binding.line}: {binding.name}")
    print(f"{len(vague)} of {len(everything)} bindings: {100 * len(vague) / max(1, len(everything)):.1f} %")


if __name__ == "__main__":
    main(sys.argv[1:])
