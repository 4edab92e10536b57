"""Two storage accounts of Azure are two stores; what is said of the one is not true of the other."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest

from mlflow_archive.artifact_roots.buckets import ObjectStores
from mlflow_archive.artifact_roots.store import UnreachableError

ONE = "wasbs://cont@acctone.blob.core.windows.net/ml"
TWO = "wasbs://cont@accttwo.blob.core.windows.net/ml"


class _Store:
    """An account that holds one object."""

    def __init__(self, account_name: str = "", **_: Any) -> None:
        self.account = account_name

    def find(self, root: str, **_: Any) -> dict[str, Any]:
        name = f"{root}/{self.account}.txt"
        return {name: {"name": name, "type": "file", "size": 1}}


@pytest.fixture
def _accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec, "filesystem", lambda protocol, **options: _Store(**options))
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)


def listed(stores: ObjectStores, uri: str) -> list[str]:
    return [getattr(file, "path", "") for file in stores.list(uri)]


@pytest.mark.usefixtures("_accounts")
def test_each_account_has_its_own_connection() -> None:
    stores = ObjectStores()
    assert [listed(stores, uri) for uri in (ONE, TWO, ONE)] == [["acctone.txt"], ["accttwo.txt"], ["acctone.txt"]]
    assert listed(stores, "abfs://cont/ml") == [".txt"]


@pytest.mark.usefixtures("_accounts")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AZURE_STORAGE_CONNECTION_STRING", "DefaultEndpointsProtocol=http;AccountName=acctone;AccountKey=x=="),
        ("AZURE_STORAGE_ACCOUNT_NAME", "acctone"),
    ],
)
def test_credentials_of_another_account_are_not_used(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stores = ObjectStores()
    assert listed(stores, ONE) == ["acctone.txt"]
    with pytest.raises(UnreachableError, match="for the storage account acctone"):
        listed(stores, TWO)
