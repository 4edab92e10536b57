"""A file of rules is checked when it is read: a slip would leave in what a rule was for."""

from __future__ import annotations

import hmac
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.redacting.rules import RedactionRules, ValueRule, parse_rules, read_key, read_rules

VALUE = "[[values]]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[values]\n", "r.toml is not TOML: Expected ']]' at the end of an array declaration (at line 1, column 9)"),
        ("", "r.toml has no rule: it takes [[values]], [[artifacts]] and [erase]"),
        ("[erase]\nruns = []", "r.toml has no rule: it takes [[values]], [[artifacts]] and [erase]"),
        ("vlaues = 1", "r.toml: there is no key vlaues; expected artifacts, erase, values"),
        ("values = 1", "r.toml: values must be a list of tables, as [[values]]"),
        ("erase = 1", "r.toml: erase must be a table, as [erase]"),
        ("[erase]\nrun = ['a']", "r.toml: there is no key erase.run; expected experiments, runs, users"),
        ("[erase]\nruns = 'a'", "r.toml: erase.runs must be a list of texts that are not empty"),
        ("[erase]\nusers = ['']", "r.toml: erase.users must be a list of texts that are not empty"),
        ("[[artifacts]]\n", "r.toml: artifacts[1] has no path"),
        ("[[artifacts]]\npath = ''", "r.toml: artifacts[1].path must be a text that is not empty"),
        (VALUE + "action = 'hide'", "r.toml: values[1].action must be one of drop, replace, pseudonym"),
        (VALUE + "action = 'drop'", "r.toml: values[1] would change every value: give table, key or match"),
        (VALUE + "action = 'drop'\ncolumn = 'value'", "r.toml: values[1].column goes with table only"),
        (VALUE + "action = 'drop'\nwith = ''\nkey = 'a'", "r.toml: values[1].with goes with the action replace only"),
        (
            VALUE + "action = 'drop'\nmatch = '('",
            "r.toml: values[1].match is no regular expression: missing ), unterminated subpattern at position 0",
        ),
        (VALUE + "action = 'drop'\nmatch = 'a*'", "r.toml: values[1].match matches the empty text, and so everything"),
        (
            VALUE + "action = 'drop'\nmatch = 'a'\ngroup = 1",
            "r.toml: values[1].group must be a number from 0 to 0, the groups of match",
        ),
        (VALUE + "action = 'drop'\nkey = 'a'\ngroup = 1", "r.toml: values[1].group goes with match only"),
        (
            VALUE + "action = 'drop'\ntable = 'param'\nkey = 'a'",
            "r.toml: values[1].table: there is no table 'param' of values (spec/tables.md)",
        ),
        (
            VALUE + "action = 'drop'\ntable = 'artifacts'\ncolumn = 'path'",
            (
                "r.toml: values[1].table: there is no table 'artifacts' of values (spec/tables.md); artifacts are "
                "dropped by [[artifacts]]"
            ),
        ),
        (
            VALUE + "action = 'drop'\ntable = 'runs'\ncolumn = 'user'",
            "r.toml: values[1].column: the table runs has no column 'user'",
        ),
        (
            VALUE + "action = 'drop'\ntable = 'runs'\nkey = 'user'",
            "r.toml: values[1].key: the table runs has no keys",
        ),
        (
            VALUE + "action = 'drop'\ntable = 'runs'",
            "r.toml: values[1] names a table and no column: give column, or no table for all places",
        ),
        (
            VALUE + "action = 'drop'\ntable = 'params'\ncolumn = 'run_id'",
            (
                "r.toml: values[1].column: params.run_id says which object is meant, and so do other tables: give "
                "match and the action pseudonym, without table and column, or erase the object"
            ),
        ),
        (
            VALUE + "action = 'replace'\ntable = 'runs'\ncolumn = 'start_time'",
            "r.toml: values[1]: runs.start_time holds no texts, and can only be dropped as a whole",
        ),
        (
            VALUE + "action = 'drop'\ntable = 'experiments'\ncolumn = 'name'",
            "r.toml: values[1]: experiments.name must not be empty: replace it, or erase the object",
        ),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(SelectionError) as raised:
        parse_rules(text.encode(), "r.toml")
    assert str(raised.value) == message


def test_what_is_read(tmp_path: Path) -> None:
    text = (
        "[[values]]\nname = 'teams'\nkey = 'team.*'\naction = 'drop'\n"
        "[[values]]\ntable = 'runs'\ncolumn = 'user_id'\naction = 'replace'\nwith = ''\n"
        "[[artifacts]]\nname = 'env'\npath = '*.env'\n[erase]\nruns = ['a']\nusers = ['b']\n"
    )
    (tmp_path / "r.toml").write_text(text)
    read = read_rules(tmp_path / "r.toml")
    where = f"{tmp_path}/r.toml"
    assert read == RedactionRules(
        values=(
            ValueRule(place=f"{where}: values[1]", action="drop", column="value", key="team.*"),
            ValueRule(place=f"{where}: values[2]", action="replace", table="runs", column="user_id", stand_in=""),
        ),
        artifacts=("*.env",),
        runs=("a",),
        users=("b",),
        names=("env", "teams"),
        data=text.encode(),
    )
    assert len({read.digest(None), read.digest(b"k" * 16), read.digest(b"l" * 16)}) == 3
    other = replace(read, data=read.data + b" ")
    assert not {other.digest(None), other.digest(b"k" * 16)} & {read.digest(None), read.digest(b"k" * 16)}
    assert read.digest(b"k" * 16) == hmac.new(b"k" * 16, text.encode(), "sha256").hexdigest()


def test_what_holds_no_texts_is_dropped_as_a_whole() -> None:
    rule = VALUE + "action = 'drop'\ntable = 'runs'\ncolumn = 'start_time'\n"
    [read] = parse_rules(rule.encode(), "r").values
    assert (read.table, read.column, read.action, read.match) == ("runs", "start_time", "drop", None)
    with pytest.raises(SelectionError, match=r"runs\.start_time holds no texts, and can only be dropped as a whole"):
        parse_rules((rule + "match = '1'\n").encode(), "r")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcde\n")
    for reading, message in (
        (lambda: read_rules(tmp_path / "none"), "none: the rules cannot be read: No such file or directory"),
        (lambda: read_key(tmp_path / "none"), "none: the key cannot be read: No such file or directory"),
        (lambda: read_key(tmp_path / "key"), "key: a key of 15 bytes can be guessed, expected at least 16"),
    ):
        with pytest.raises(SelectionError) as raised:
            reading()
        assert f"{tmp_path}/{message}" in str(raised.value)
