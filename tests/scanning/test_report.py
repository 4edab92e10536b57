"""What a report of a scan says of a find, what may be shown of a value, and the rules that it writes, word for word."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any

import pytest

from mlflow_archive.scanning import report
from mlflow_archive.scanning.credentials import is_secret, is_telling
from mlflow_archive.scanning.patterns import CREDENTIAL, EMAIL, Pattern, is_card, is_email, is_iban
from mlflow_archive.scanning.report import Find, ScanReport, artifact_rule, everywhere_rule, glob, masked, value_rule

PLAIN = Pattern(kind=EMAIL, name="mail", sign="@", regex=re.compile("a@b"))
GROUPED = Pattern(kind=CREDENTIAL, name="key", sign="k", regex=re.compile('k="(.)"', re.I | re.X | re.A), value=1)


def test_what_may_be_shown_of_a_value() -> None:
    assert [masked(text) for text in ("", "1234567", "12345678")] == [
        "… (0 characters)",
        "… (7 characters)",
        "12… (8 characters)",
    ]


def test_where_a_find_is() -> None:
    common: dict[str, Any] = {"kind": EMAIL, "name": "mail", "value": "…"}
    in_table = Find(**common, table="params", column="value", owner_kind="run", owner_id="a", key="k")
    in_artifact = Find(**common, owner_kind="run", owner_id="a", path="x", line=3)
    assert [find.place for find in (in_table, in_artifact, Find(**common))] == ["params.value", "artifact", "manifest"]
    assert in_artifact.to_json() == {**common, "owner_kind": "run", "owner_id": "a", "path": "x", "line": 3}
    assert Find(**common).to_json() == common


def test_finds_are_counted_and_only_the_first_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_LISTED", 2)
    found = ScanReport(archive_id="0" * 64)
    assert found.clean
    for number in range(3):
        find = Find(kind=EMAIL, name="mail", value="…", path=f"x{number}")
        found.add(find, artifact_rule("x"))
    found.add(Find(kind=CREDENTIAL, name="key", value="…"), everywhere_rule(GROUPED))
    found.looked["artifacts"] = 3
    found.not_looked |= Counter({"zip": 1, "gzip": 2})
    assert (found.clean, found.counts) == (False, {EMAIL: 3, CREDENTIAL: 1})
    assert found.places == {("artifact", EMAIL, "mail"): 3, ("manifest", CREDENTIAL, "key"): 1}
    assert found.to_json() == {
        "archive_id": "0" * 64,
        "found": {CREDENTIAL: 1, EMAIL: 3},
        "looked_into": {"artifacts": 3},
        "not_looked_into": {"gzip": 2, "zip": 1},
        "finds": [{"kind": EMAIL, "name": "mail", "value": "…", "path": f"x{number}"} for number in range(2)],
    }
    assert list(found.to_json()["found"]) == [CREDENTIAL, EMAIL]
    assert found.rules() == (
        f"# Made by a scan of the archive {'0' * 64}.\n"
        "# Read it before it is used: a rule takes a value out wherever it stands at that place, of all objects.\n"
        '\n[[artifacts]]\npath = "x"\n'
        '\n[[values]]\naction = "pseudonym"\nmatch = "(?ixa)k=\\"(.)\\""\ngroup = 1\n'
    )


@pytest.mark.parametrize(
    ("table", "column", "key", "rule"),
    [
        ("params", "value", "k*", {"table": "params", "column": "value", "key": "k*", "action": "replace"}),
        ("params", "key", "k*", {"action": "pseudonym", "match": "a@b"}),
        ("artifacts", "path", None, {"action": "pseudonym", "match": "a@b"}),
        ("gaps", "reason", None, {"action": "pseudonym", "match": "a@b"}),
        ("model_versions", "run_id", None, {"action": "pseudonym", "match": "a@b"}),
        ("runs", "user_id", None, {"table": "runs", "column": "user_id", "action": "replace", "match": "a@b"}),
    ],
)
def test_the_rule_that_takes_a_find_out(table: str, column: str, key: str | None, rule: dict[str, str]) -> None:
    assert value_rule(table, column, key, PLAIN) == rule


def test_rules_are_toml_whatever_they_hold() -> None:
    path = 'a"\\\n\x7f\u00fc\U0001f600'
    found = ScanReport(archive_id="x")
    found.add(Find(kind=EMAIL, name="mail", value="…"), artifact_rule(path))
    assert tomllib.loads(found.rules()) == {"artifacts": [{"path": path}]}
    assert [glob(text) for text in ("a", "a*b?[c]")] == ["a", "a[*]b[?][[]c]"]


def test_which_names_tell_of_a_credential() -> None:
    telling = (
        "password",
        "DB.Password2",
        "dbPassword",
        "my-api key",
        "secret_key_id",
        "AccountKey",
        "token",
        "connStr",
        "PassWord",
        "dbPassWord",
        "pass-phrase",
        "SeCret",
    )
    others = (
        "passwords_seen",
        "comPasses",
        "MaxTokens",
        "max_tokens",
        "pad_token",
        "userToken",
        "monkey",
        "compass",
        "password100",
    )
    assert [name for name in (*telling, *others) if is_telling(name)] == list(telling)


def test_which_values_are_no_secrets() -> None:
    secret = ("hunter2!", " abcd ", "1a2b", "none1")
    others = (
        "abc",
        "   abc   ",
        "None",
        "your_key",
        "<key>",
        "{x}y}",
        "$HOME",
        "%X%",
        "****",
        "os.environ['x']",
        "1e-5",
    )
    assert [text for text in (*secret, *others) if is_secret(text)] == list(secret)


def test_numbers_with_check_digits_and_addresses() -> None:
    ibans = ("NO9386011117947", "GB29-NWBK-6016-1331-9268-19", "MT84MALT011000012345MTLCAST001S")
    assert [is_iban(text) for text in (*ibans, "XX9386011117947", "NO938601111794", "")] == [True] * 3 + [False] * 3
    cards = [
        *("4222222222222", "378282246310005", "5555555555554444", "6011111111111117", "3530111333300000"),
        *("4242 4242-4242 4242", "4992739871600008"),
    ]
    assert [is_card(text) for text in (*cards, "4444444444444444444", "1234567890128", "0000000000000")] == [
        *[True] * 7,
        *[False] * 3,
    ]
    mails = ("a@b.example", "a@b.example.txt", "a@b.png.example", "A@B.CO", "a@b.2c.example")
    others = ("a@b", "git@b.example", "GIT@b.example", "a@2x.png", "a@b.c0", "a@txt.png", "a@b.png")
    assert [text for text in (*mails, *others) if is_email(text)] == list(mails)
