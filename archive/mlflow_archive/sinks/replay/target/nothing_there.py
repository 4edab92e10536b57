"""A workspace or database that a dry run would make: nothing is in it, and nothing can be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NoReturn, cast

from mlflow_archive.errors import ServerError
from mlflow_archive.http.session import Params
from mlflow_archive.sinks.replay.target.target import Api, Target, TargetExperiment

_OF_SEVERAL: Final = ("/list", "/search", "/batchGetInfos", "/webhooks")
"""How paths end that ask for several objects; all others ask for one, by name or id.

So does a GET without parameters, whose path may end with a name that is one of these words.
"""


class _NothingApi:
    """Answers as MLflow does where there is nothing: lists and searches are empty, anything by name is unknown."""

    def get(self, path: str, params: Params | None = None) -> Any:
        return self._answer(path, by_name=params is None)

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any:
        return self._answer(path)

    def _answer(self, path: str, *, by_name: bool = False) -> Any:
        if path.endswith(_OF_SEVERAL) and not by_name:
            return {}
        message = f"{path}: there is nothing in a workspace that is not there yet"
        raise ServerError(message, status=HTTPStatus.NOT_FOUND, error_code="RESOURCE_DOES_NOT_EXIST")


class _Nothing:
    def __init__(self, uri: str, experiments: Sequence[TargetExperiment]) -> None:
        self.uri = uri
        self.version: str | None = None
        self._experiments = experiments

    @property
    def api(self) -> Api:
        return cast("Api", _NothingApi())

    def check(self) -> None: ...

    def close(self) -> None: ...

    def in_workspace(self, name: str | None) -> Target:
        return cast("Target", self)

    def experiments(self) -> Iterator[TargetExperiment]:
        return iter(self._experiments)

    def __getattr__(self, name: str) -> NoReturn:
        message = f"a dry run does not {name}"
        raise RuntimeError(message)


def nothing_there(uri: str, experiments: Sequence[TargetExperiment] = ()) -> Target:
    """Return a target that is empty but for some experiments, for what writes nothing."""
    return cast("Target", _Nothing(uri, experiments))
