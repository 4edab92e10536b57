"""How parity is planned: how many blocks, of what size, and in how many files."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.packing.parity import create_parity, plan_parity
from mlflow_archive.packing.volumes import Names, SetFile

GB = 10**9


def test_a_large_set_has_twenty_thousand_blocks() -> None:
    sizes = [4 * GB] * 12 + [2 * GB, 2000, 1500]
    plan = plan_parity(sizes, 10, 4 * GB)
    blocks = sum(ceil(size / plan.block_size) for size in sizes)
    assert (plan.block_size, blocks, plan.recovery, plan.files) == (2_500_000, 20_002, 2001, 2)
    assert plan.block_size % 4 == 0
    assert 2001 * 2_500_000 < plan.size < 2001 * 2_500_000 * 1.01


def test_blocks_of_a_small_set_are_not_smaller_than_a_sector() -> None:
    plan = plan_parity([50_000, 20_000, 1000], 10, 60_000)
    assert (plan.block_size, plan.recovery, plan.files) == (4096, 2, 1)


def test_many_volumes_have_larger_blocks() -> None:
    sizes = [20_000] * 9_000
    plan = plan_parity(sizes, 1, 20_000_000)
    assert 20_000 > sum(ceil(size / plan.block_size) for size in sizes) > 9_000


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SelectionError, match="parity of 100 % does not fit into 31 files of 100,000 bytes"):
        plan_parity([100_000] * 50, 100, 100_000)


def test_a_file_that_par2_leaves_out_is_noticed(tmp_path: Path) -> None:
    """It says nothing of a file that is not there, or is empty, and ends with 0."""
    (tmp_path / "a").write_bytes(b"a" * 9000)
    (tmp_path / "empty.txt").touch()
    names = Names(base="a-0123abcd")
    plan = plan_parity([9000], 50, 10**6)
    files = [SetFile(name=name, size=1, sha256="") for name in ("a", "b", "empty.txt")]
    with pytest.raises(TargetError, match=r"par2 has left out of the parity: b, empty\.txt$"):
        create_parity(tmp_path, names, files, plan, -1)
    assert not (tmp_path / "empty").exists()
