"""The guides name commands and options that exist, and every command; the reference has every option."""

from __future__ import annotations

import html
import importlib.util
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import click
import pytest

from mlflow_archive_cli.main import commands

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *(DOCS.parent / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY"))])
CONTEXT = click.Context(commands, info_name="mlflow-archive")
COMING = frozenset({"sign", "--signers", "--require-signature"})
"""Words of signatures, which the guides have already and this version has not."""


def used(page: Path) -> list[list[str]]:
    """Return the words of every use of the command on a page."""
    text = page.read_text("utf-8")
    lines = re.findall(r"^(?:    |    \$ )(mlflow-archive [^\n]*)", text, re.MULTILINE)
    inline = re.findall(r"`(mlflow-archive [^`]*)`", text)
    found = []
    for line in [*lines, *inline]:
        try:
            found.append(shlex.split(line.replace("\n", " "), comments=True))
        except ValueError:
            continue  # a sentence with an apostrophe, or a query over several lines
    return found


def test_targets_of_make_exist() -> None:
    makefile = (DOCS.parent / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    on_pages = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|^    (?:\$ )?)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert on_pages
    assert on_pages | phony <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_of_a_page_exist(page: Path) -> None:
    for words in used(page):
        if len(words) < 2 or words[1].startswith("-") or not COMING.isdisjoint(words):
            continue
        command = commands.get_command(CONTEXT, words[1])
        assert command is not None, words
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
        assert given <= {*options, "--help"}, words


def test_every_command_is_in_a_guide() -> None:
    named = {words[1] for page in PAGES for words in used(page) if len(words) > 1}
    assert set(commands.list_commands(CONTEXT)) <= named


def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", DOCS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_option() -> None:
    text = make().reference()
    for name in commands.list_commands(CONTEXT):
        command = commands.get_command(CONTEXT, name)
        assert command is not None
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            assert all(option in section for option in parameter.opts if option.startswith("-")), (name, parameter.name)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (DOCS.parent / "mkdocs.yml").read_text("utf-8")
    assert all(f": {page.name}" in navigation for page in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_in_the_repository(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_links_lead_somewhere_on_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = make()
    monkeypatch.setattr(module, "TARGET", tmp_path / "site")
    module.make()
    for page in (tmp_path / "site").glob("*.md"):
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
        missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
        assert missing == [], page.name


def layers() -> list[str]:
    """Return the packages in the order in which imports may go, the highest first."""
    contracts = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [levels] = (contract["layers"] for contract in contracts if contract["name"] == "Layers point downwards")
    return [name.strip().removeprefix("mlflow_archive.") for level in levels for name in level.split(":")]


def test_the_architecture_page_names_every_package() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    table = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(table) == sorted(layers())


def test_the_picture_has_every_package_and_arrows_point_downwards() -> None:
    text = (DOCS / "architecture.dot").read_text("utf-8")
    order = layers()
    assert sorted(re.findall(r"^  (\w+) +\[label=", text, re.MULTILINE)) == sorted(order)
    chains = (re.findall(r"\w+", arrows) for arrows in re.findall(r"\w+(?: -> \w+)+", text))
    pairs = [(above, below) for chain in chains for above, below in pairwise(chain)]
    assert [pair for pair in pairs if order.index(pair[0]) > order.index(pair[1])] == []


@pytest.mark.parametrize("name", ["architecture", "run"])
def test_pictures_are_drawn_from_their_text(name: str) -> None:
    text, drawn = ((DOCS / f"{name}.{kind}").read_text("utf-8") for kind in ("dot", "svg"))
    words = {word for label in re.findall(r'label="([^"]*)"', text) for word in label.split(r"\n")}
    shown = set(re.findall(r"<text[^>]*>([^<]*)</text>", drawn))
    assert words == {html.unescape(word) for word in shown}


def test_paths_that_the_architecture_page_names_exist() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    named = re.findall(r"`((?:tests|sources|sinks|reader|writer|flow|format|kinds|spec|docs|cli)/[a-z_/.0-9]+)`", text)
    places = (DOCS.parent, DOCS.parent / "archive" / "mlflow_archive")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []
