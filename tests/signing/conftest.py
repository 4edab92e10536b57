"""Two people with keys, a list that allows the first, signed archives, and authorities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import cli, single_file, write_archive
from tests.support.authority import Authority, make_authority, served
from tests.support.signers import Signer, allowed, new_signer

__all__ = ["cli", "single_file"]


@pytest.fixture(scope="session")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("ada"), "ada@bank")


@pytest.fixture(scope="session")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("bob"), "bob@bank")


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory, ada: Signer) -> Path:
    """A list that allows ada alone."""
    return allowed(tmp_path_factory.mktemp("list") / "allowed_signers", ada)


@pytest.fixture(params=["a.mlfa", "a"], ids=["file", "directory"])
def unsigned(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive that nobody has signed, in both forms."""
    return write_archive(tmp_path / str(request.param))


@pytest.fixture(scope="session", params=[False, True], ids=["no chain", "chain"])
def authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A served authority, whose tokens hold its certificate alone, or the chain in another order than DER has it."""
    folder = tmp_path_factory.mktemp("authority") / "tsa"
    with served(make_authority(folder, with_chain=request.param)) as serving:
        yield serving
