"""Packs are checked some at a time, so that the blob index is read seldom and its rows in memory stay few."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.flow.pieces import in_pieces
from mlflow_archive.format.blob_index import TOGETHER_BYTES
from mlflow_archive.format.manifest import Member
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.packs import PackCheck
from tests.support.memory_source import MemoryOptions
from tests.support.workers import SendingPool, export_by

GIB = TOGETHER_BYTES


def packs_of(sizes: list[int]) -> list[Member]:
    """Return packs of some sizes."""
    return [Member(path=f"packs/{n}", kind="pack", export=1, size=size, sha256="") for n, size in enumerate(sizes)]


def size(pack: Member) -> int:
    return pack.size


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([5], [[5]]),
        ([GIB, 1], [[GIB], [1]]),
        ([1, GIB - 1, 1], [[1, GIB - 1], [1]]),
        ([2 * GIB, 1, 2], [[2 * GIB], [1, 2]]),
    ],
)
def test_groups_are_no_larger_than_a_pack(sizes: list[int], groups: list[list[int]]) -> None:
    packs = packs_of(sizes)
    assert [[member.size for member in group] for group in in_pieces(packs, size, GIB)] == groups
    assert [[member.size for member in group] for group in in_pieces(packs, size, GIB, len(packs))] == groups


def test_pieces_for_workers_are_of_so_many_packs_at_most() -> None:
    assert [len(piece) for piece in in_pieces(packs_of([1, 2, 3, 4]), size, GIB, 3)] == [3, 1]


def test_the_blob_index_is_read_once_for_many_small_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_by(tmp_path / "archive", SendingPool(1), MemoryOptions(runs=6, runs_per_shard=1))
    looked_up: list[set[str]] = []
    indexes = PackCheck._indexes

    def counted(self: PackCheck, packs: set[str]) -> object:
        looked_up.append(packs)
        return indexes(self, packs)

    monkeypatch.setattr(PackCheck, "_indexes", counted)
    assert verify(tmp_path / "archive").problems == []
    assert [len(packs) for packs in looked_up] == [6]
