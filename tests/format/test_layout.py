"""Names of members: which may be, and which export one belongs to."""

from __future__ import annotations

import pytest

from mlflow_archive.format.layout import (
    MAX_NAME_LENGTH,
    export_number,
    is_member_name,
    manifest_name,
    manifest_number,
    pack_name,
    part_name,
)


@pytest.mark.parametrize(
    ("name", "may_be"),
    [
        ("README.txt", True),
        ("a/..b/c_d-1.x", True),
        ("a" * MAX_NAME_LENGTH, True),
        ("a" * (MAX_NAME_LENGTH + 1), False),
        ("", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        (".", False),
        ("a/.", False),
        ("../a", False),
        ("readme.TXT", False),
        ("a b", False),
        ("a\n", False),
        ("é", False),
    ],
)
def test_what_a_member_may_be_called(name: str, may_be: bool) -> None:
    assert is_member_name(name) is may_be


def test_names_say_the_export_that_wrote_them() -> None:
    names = [part_name("runs", 12, 3), pack_name(12, 3), manifest_name(12)]
    assert names == ["tables/runs/0012-00003.parquet", "packs/0012-00003.zst", "manifests/0012.json"]
    assert [export_number(name) for name in names] == [12, 12, 12]
    assert [manifest_number(name) for name in names] == [None, None, 12]
    others = ("manifest.json", "packs/12-00003.zst", "x/packs/0012-00003.zst", "tables/0012-00003.parquet")
    assert [export_number(name) for name in others] == [None] * 4
    assert [manifest_number(name) for name in ("manifests/0012.json.tmp", "manifests/012.json")] == [None, None]
