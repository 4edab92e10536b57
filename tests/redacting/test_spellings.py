"""A user's name goes in whatever form it stands, a tag's value also from the column that it repeats; what is two things
stays two."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.redacting.spellings import spelled
from tests.redacting.subjects import rows_of, write
from tests.support.chunks import artifact, chunk, experiment, pairs, points, run

RUN = "0b" * 16
EXPERIMENTS = chunk(experiments=[experiment("1", "one"), experiment("2", "two")])
DOMAIN = "BANK\\ada"

FORMS = {
    "behind an end of line in JSON": (json.dumps(["hi\nada"]), '["hi\\n[redacted]"]'),
    "behind a letter in JSON": (json.dumps(["éada"]), '["\\u00e9[redacted]"]'),
    "in a URI": ("file:///home%2Fada%2Fx", "file:///home%2F[redacted]%2Fx"),
    "in a URI in a URI": ("x?next=%252Fada", "x?next=%252F[redacted]"),
    "JSON in JSON": (json.dumps(json.dumps("zoë b")), '"\\"[redacted]\\""'),
    "capital digits": (r"zo\u00EB b", "[redacted]"),
    "quoted, small digits": (quote("zoë b").lower(), "[redacted]"),
    "of a form": ("zo%C3%AB+b", "[redacted]"),
    "an accent of its own": ("zoe\u0308 b", "[redacted]"),
    "another word": ("malice, Canada, nada", "malice, Canada, nada"),
    "of a domain": (json.dumps(DOMAIN), '"[redacted]"'),
    "no letter of ASCII": (json.dumps(json.dumps("😀")), '"\\"[redacted]\\""'),
}


def redacted(folder: Path, rules: str, *chunks: Chunk, facts: SourceFacts | None = None) -> Path:
    old = write(folder / "old", EXPERIMENTS, *chunks, facts=facts)
    (folder / "rules.toml").write_text(rules)
    (folder / "key").write_text("0123456789abcdef")
    ma.redact(old, folder / "new", folder / "rules.toml", key_file=folder / "key")
    return folder / "new"


def test_a_user_in_whatever_form(tmp_path: Path) -> None:
    tags = pairs(RUN, {name: text for name, (text, _) in FORMS.items()})
    users = json.dumps(["ada", "zoë b", DOMAIN, "😀"], ensure_ascii=False)
    new = redacted(tmp_path, f"[erase]\nusers = {users}\n", chunk(runs=[run(RUN, "1", user_id="bob")], tags=tags))
    assert {row["key"]: row["value"] for row in rows_of(new)["tags"]} == {
        name: expected for name, (_, expected) in FORMS.items()
    }


@pytest.mark.parametrize("key", ["mlflow.user", "*.user"])
def test_a_tag_goes_from_the_column_that_it_repeats(tmp_path: Path, key: str) -> None:
    rows = chunk(runs=[run(RUN, "1", user_id="eve", run_name="r")], tags=pairs(RUN, {"mlflow.user": "eve"}))
    new = redacted(tmp_path, f"[[values]]\nkey = '{key}'\naction = 'drop'\n", rows)
    found = rows_of(new)
    assert [(row["user_id"], row["run_name"]) for row in found["runs"]] == [(None, "r")]
    assert "tags" not in found


def test_a_source_that_holds_a_value_quoted_goes(tmp_path: Path) -> None:
    rows = chunk(runs=[run(RUN, "1", user_id="zoë b")])
    facts = SourceFacts(kind="mlruns", uri=f"file:///home/{quote('zoë b')}/mlruns")
    rule = "[[values]]\ntable = 'runs'\ncolumn = 'user_id'\naction = 'pseudonym'\n"
    with open_archive(redacted(tmp_path, rule, rows, facts=facts)) as archive:
        assert archive.newest_export.source["uri"] == "[redacted]"


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("match = 'ada|bob'", "metrics (run_id, key)"),
        ("table = 'experiments'\ncolumn = 'name'", "experiments (workspace, name)"),
    ],
)
def test_two_names_that_would_be_one_are_refused(tmp_path: Path, rule: str, names: str) -> None:
    """Two histories would be one, and an import would make one experiment of two."""
    histories = [*points(RUN, "loss of ada", [1.0, 2.0]), *points(RUN, "loss of bob", [3.0])]
    with pytest.raises(SelectionError, match="the rules make two keys of one object one") as refused:
        redacted(tmp_path, f"[[values]]\n{rule}\naction = 'replace'\n", chunk(runs=[run(RUN, "1")], metrics=histories))
    assert names in str(refused.value)


@pytest.mark.parametrize("rule", ["action = 'drop'", "action = 'replace'\nwith = '..'"])
def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path, rule: str) -> None:
    rows = chunk([artifact(RUN, "of/cust-7/x", b"x")], runs=[run(RUN, "1")])
    with pytest.raises(SelectionError, match="under which no file can be written"):
        redacted(tmp_path, f"[[values]]\nmatch = 'cust-[0-9]+'\n{rule}\n", rows)
    assert not (tmp_path / "new" / "manifest.json").exists()


def test_half_of_a_character_is_a_name_as_any() -> None:
    assert spelled(["\ud83d"]).sub("?", "\ud83d, \\ud83d, x") == "?, ?, x"
