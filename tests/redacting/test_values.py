"""What a rule makes of the rows of one table, and of texts beside them: whole values, at the edges of each rule."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import TABLES
from mlflow_archive.redacting.erasing import Erased, Eraser
from mlflow_archive.redacting.places import is_keyed, is_text, matches, names_objects, places_of
from mlflow_archive.redacting.rules import parse_rules
from mlflow_archive.redacting.values import Redactor
from tests.support.chunks import pairs, table

KEY = b"0123456789abcdef"
A, B = "a" * 32, "b" * 32


def redactor(*rules: str, texts: tuple[str, ...] = (), users: str = "") -> Redactor:
    text = "".join(f"[[values]]\n{rule}\n" for rule in rules) + (f"[erase]\nusers = [{users}]\n" if users else "")
    return Redactor(parse_rules(text.encode(), "r"), KEY, texts)


def pseudonym(text: str) -> str:
    return "p-" + hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()[:32]


def after(redacting: Redactor, name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    given = [{**dict.fromkeys(TABLES[name].column_names), **row} for row in rows]
    found = redacting.rows(TABLES[name], pa.Table.from_pylist(given, schema=TABLES[name].schema)).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


PARAMS = pairs(A, {"team.id": "cust-17", "lr": "0.1", "note": "cust-1 and cust-22"})


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("key = 'team.*'\naction = 'drop'", {"lr": "0.1", "note": "cust-1 and cust-22"}),
        ("key = 'team.*'\naction = 'replace'", {"team.id": "[redacted]", "lr": "0.1", "note": "cust-1 and cust-22"}),
        ("key = 'n*'\nmatch = 'cust-'\naction = 'drop'", {"team.id": "cust-17", "lr": "0.1", "note": "1 and 22"}),
        (
            "match = 'cust-([0-9])'\ngroup = 1\naction = 'replace'\nwith = '#'",
            {"team.id": "cust-#7", "lr": "0.1", "note": "cust-# and cust-#2"},
        ),
        (
            "match = '(x)?cust'\ngroup = 1\naction = 'replace'",
            {"team.id": "cust-17", "lr": "0.1", "note": "cust-1 and cust-22"},
        ),
        (
            "table = 'params'\ncolumn = 'value'\nkey = 'team.id'\naction = 'pseudonym'",
            {"team.id": pseudonym("cust-17"), "lr": "0.1", "note": "cust-1 and cust-22"},
        ),
        (
            "table = 'tags'\ncolumn = 'value'\naction = 'drop'",
            {"team.id": "cust-17", "lr": "0.1", "note": "cust-1 and cust-22"},
        ),
        ("table = 'params'\ncolumn = 'value'\naction = 'drop'", {}),
    ],
    ids=["drop", "replace", "drop a part", "group", "a group without part", "pseudonym", "another table", "all"],
)
def test_values_of_params(rule: str, values: dict[str, str]) -> None:
    redacting = redactor(rule)
    assert after(redacting, "params", PARAMS) == pairs(A, values)
    changed = values != {row["key"]: row["value"] for row in PARAMS}
    assert redacting.effective == ({"r: values[1]"} if changed else set())


def test_a_column_becomes_null_where_it_may_and_only_where_it_had_something() -> None:
    redacting = redactor("table = 'runs'\ncolumn = 'user_id'\naction = 'drop'", texts=("home/eve/x", "evening"))
    rows = [{"run_id": A, "user_id": "eve"}, {"run_id": B}]
    assert after(redacting, "runs", rows) == [{"run_id": A}, {"run_id": B}]
    assert (redacting.effective, redacting.holding) == ({"r: values[1]"}, {"home/eve/x"})
    idle = redactor("table = 'runs'\ncolumn = 'user_id'\naction = 'drop'")
    assert (after(idle, "runs", rows[1:]), idle.effective) == ([{"run_id": B}], set())
    assert after(idle, "runs", []) == []


def test_which_texts_of_a_manifest_hold_what_was_taken_out() -> None:
    """Of a value of one letter nothing can be said; a short one counts as a word, a longer one anywhere."""
    texts = ("x", "a bc d", "abcd", "the long1", "xlong1x")
    for value, holding in (
        ("x", set()),
        ("bc", {"a bc d"}),
        ("abc", set()),
        ("bcd", set()),
        ("long1", {"the long1", "xlong1x"}),
        ("ong1", {"the long1", "xlong1x"}),
        ("ng1", set()),
    ):
        redacting = redactor("key = 'k'\naction = 'replace'", texts=texts)
        after(redacting, "tags", pairs(A, {"k": value}))
        assert redacting.holding == holding, value
    everywhere = redactor("match = 'long1'\naction = 'replace'", texts=texts)
    after(everywhere, "tags", pairs(A, {"k": "long1"}))
    assert (everywhere.holding, everywhere.text("the long1")) == (set(), "the [redacted]")


def test_keys_that_would_become_one_are_refused_and_pseudonyms_are_not() -> None:
    rows = pairs(A, {"cust-1": "x", "cust-2": "y"})
    with pytest.raises(SelectionError) as caught:
        after(redactor("match = 'cust-[0-9]'\naction = 'replace'"), "tags", rows)
    assert str(caught.value) == (
        "the rules make two keys of one object one in the table tags (run_id, key), and a row would be lost: use the "
        "action pseudonym, which keeps them apart"
    )
    found = after(redactor("match = 'cust-[0-9]'\naction = 'pseudonym'"), "tags", rows)
    assert found == [
        {"run_id": A, "key": pseudonym(f"cust-{number}"), "value": value} for number, value in ((1, "x"), (2, "y"))
    ]
    with pytest.raises(SelectionError) as owner:
        after(
            redactor(f"match = '{A}'\naction = 'replace'"),
            "tags",
            [*pairs(B, {"k": "x"}), *rows, *pairs("c" * 30, {"k": "x"})],
        )
    assert str(owner.value) == (
        "r: values[1] would change the name of an object of the kind run (a…, 32 characters) in tags.run_id, and two "
        "could become one: use the action pseudonym, which keeps them apart, or erase the object"
    )


def test_a_user_goes_as_a_whole_word_in_each_form() -> None:
    redacting = redactor(users="'a b', 'a b c', 'ü'")
    assert redacting.text("a b, a b c, a%20b%20c, xa b, a bx, \\u00fc ü %C3%BC") == (
        "[redacted], [redacted], [redacted], xa b, a bx, [redacted] [redacted] [redacted]"
    )


@pytest.mark.parametrize(
    ("cell", "places"),
    [
        (("tags", "value", "mlflow.user"), [("runs", "user_id", None)]),
        (
            ("tags", "value", "mlflow_archive.mlflow.user"),
            [("tags", "value", "mlflow.user"), ("runs", "user_id", None)],
        ),
        (("tags", "value", "mlflow_archive.lineage.12.param.lr"), [("params", "value", "lr")]),
        (
            ("tags", "value", "mlflow_exim.run_info.run_name"),
            [("runs", "run_name", None), ("tags", "value", "mlflow.runName")],
        ),
        (("tags", "value", "mlflow_export_import.metadata.experiment_name"), [("experiments", "name", None)]),
        (("tags", "value", "other.mlflow.user"), []),
        (("tags", "key", "mlflow.user"), []),
        (("params", "value", "mlflow.user"), []),
        (("runs", "source_version", None), [("tags", "value", "mlflow.source.git.commit")]),
        (("runs", "status", None), []),
    ],
)
def test_where_a_value_is_repeated(
    cell: tuple[str, str, str | None], places: list[tuple[str, str, str | None]]
) -> None:
    assert places_of(*cell) == (cell, *places)


def test_what_columns_are() -> None:
    texts = ("artifacts.path", "gaps.reason", "runs.user_id", "params.value")
    others = ("artifacts.digest", "artifacts.size", "blobs.digest", "fingerprints.owner_id", "gaps.owner_kind")
    found = [place for place in (*texts, *others) if is_text(TABLES[place.split(".")[0]], place.split(".")[1])]
    assert found == list(texts)
    assert [name for name in ("params", "tags", "runs", "metrics", "artifacts") if is_keyed(TABLES[name])] == [
        *("params", "tags", "metrics")
    ]
    named = ("runs.run_id", "model_versions.run_id", "logged_models.experiment_id", "runs.user_id", "tags.value")
    assert [place for place in named if names_objects(*place.split("."))] == list(named[:3])
    assert [matches(*pair) for pair in ((None, None), (None, "a"), ("a*", None), ("a*", "ab"), ("a*", "ba"))] == [
        *(True, True, False, True, False)
    ]


def erased(**owners: set[str]) -> Eraser:
    return Eraser(Erased(owners=dict(owners)))


def left(eraser: Eraser, name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = eraser.rows(TABLES[name], table(name, rows)).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def test_an_id_goes_out_of_what_stays() -> None:
    eraser = erased(run={A, "short"})
    assert eraser.text(f"see {A}/x, short") == "see [redacted]/x, short"
    rows = pairs(A, {"k": "v"}) + pairs(B, {"mlflow.parentRunId": A, "see": f"runs:/{A}/x", "k": "v", A: "v"})
    assert left(eraser, "tags", rows) == pairs(B, {"k": "v"})
    versions = [
        {"name": "m", "version": 1, "run_id": A, "source": f"runs:/{A}/x", "description": f"of {A}"},
        {"name": "m", "version": 2, "run_id": B, "source": f"runs:/{B}/x", "description": "of b"},
    ]
    expected = [{"name": "m", "version": 1, "description": "of [redacted]"}, versions[1]]
    found = left(eraser, "model_versions", versions)
    assert [{name: row[name] for name in want} for row, want in zip(found, expected, strict=True)] == expected
    assert not {"run_id", "source"} & set(found[0])
    assert left(erased(), "tags", rows) == rows


def test_an_experiment_goes_out_of_lists_and_references() -> None:
    eraser = erased(experiment={"1", "22"})
    rows = pairs(A, {"experiment_ids": ",1,2, 22,", "mlflow.experimentIds": "1,22", "note": "1", "experimentId": "2"})
    assert left(eraser, "tags", rows) == pairs(A, {"experiment_ids": ",2,", "note": "1", "experimentId": "2"})
    runs = [{"run_id": A, "experiment_id": "2"}, {"run_id": B, "experiment_id": "22"}]
    assert [row["run_id"] for row in left(eraser, "runs", runs)] == [A, B]  # runs go by their own ids
    experiments = [{"experiment_id": number, "name": number} for number in ("1", "2", "22")]
    assert left(eraser, "experiments", experiments) == experiments[1:2]


def test_a_row_that_is_only_a_link_to_a_user_goes() -> None:
    eraser = Eraser(Erased(users=frozenset({"eve"})))
    rows = pairs(A, {"eve": "x", "owner": "eve"})
    assert left(eraser, "tags", rows) == rows
    assert (eraser.erased.experiments, eraser.erased.is_erased("run", A)) == ((), False)
    assert erased(run={A}).erased.is_erased("run", A)
