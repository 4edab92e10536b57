"""Put at least one object of every kind that an MLflow 3.17 server holds into a server, through its API.

    filled = fill(server.uri, tmp_path)
    filled.traces.traces["agent"]

    with filled_server(tmp_path) as (server, filled):

The objects have Unicode, long values, gaps in numbers and marker secrets, which must never be seen in an archive.
"""

from __future__ import annotations

import base64
import os
import pickle
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mlflow
from mlflow import MlflowClient
from mlflow.utils.credentials import get_default_host_creds

from tests.support.filling.evaluation import Evaluation, fill_evaluation
from tests.support.filling.gateway import (
    SECRET_AUTH,
    SECRET_IN_ENDPOINT,
    SECRET_KEY,
    Gateway,
    fill_endpoints,
    fill_guards,
    fill_mcp,
)
from tests.support.filling.http import Http
from tests.support.filling.registry import SECRET_IN_URL, SECRET_WEBHOOK, Registry, fill_registry, fill_webhooks
from tests.support.filling.runs import Runs, fill_runs
from tests.support.filling.traces import Traces, fill_traces, refer_to_issue
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.session_folder import made_once, session_folder
from tests.support.tracking_uri import tracking_to

SECRETS: Final = (SECRET_KEY, SECRET_AUTH, SECRET_IN_ENDPOINT, SECRET_IN_URL, SECRET_WEBHOOK)
"""Strings that went into the server as secrets, or in the place of a password in a URL."""

KEY: Final = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode()}
"""A server without one makes a key at each start, and cannot read what it wrote with another."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What was made, by family: ids by name, such as ``filled.runs.models["shared"]``."""

    runs: Runs
    registry: Registry
    traces: Traces
    evaluation: Evaluation
    gateway: Gateway


def fill(uri: str, folder: Path, *, prefix: str = "") -> Filled:
    """Fill a server with everything; needs ``MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS`` in it, as ``running_server`` sets.

    ``folder`` is for files on their way. ``prefix`` goes before all names that must be unique, to fill a server
    twice; it is of letters, digits and ``-``. Credentials and workspace are those of MLflow's environment variables.
    """
    http = Http(uri=uri, headers=_headers())
    with _tracking_to(uri), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of stages, which servers have all the same
        client = MlflowClient(uri)
        runs = fill_runs(client, folder, prefix)
        registry = fill_registry(client, runs, prefix)
        traces = fill_traces(client, http, runs, registry)
        gateway = fill_endpoints(http, runs.experiments["main"], prefix)
        evaluation = fill_evaluation(client, http, runs, traces, endpoint=f"{prefix}split", prefix=prefix)
        refer_to_issue(http, traces, evaluation.issues["slow"])
        fill_guards(http, gateway, evaluation.scorers["judge ü"], prefix)
        fill_mcp(client, gateway, prefix)
        fill_webhooks(client, registry, prefix)
        client.delete_experiment(runs.experiments["gone"])
    return Filled(runs=runs, registry=registry, traces=traces, evaluation=evaluation, gateway=gateway)


def copy_everything(folder: Path) -> Filled:
    """Lay what a server holds that was filled with everything into ``folder``; one that runs there needs ``KEY``."""
    original = made_once("everything", _make)
    shutil.copytree(original / "server", folder)
    filled: Filled = pickle.loads((original / "filled.pickle").read_bytes())  # noqa: S301 - written by this run
    return filled


@contextmanager
def filled_server(
    folder: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[MlflowServer, Filled]]:
    """Run a server in ``folder`` that holds everything: a copy of one that is filled once a test run."""
    filled = copy_everything(folder)
    with running_server(folder, environment={**KEY, **(environment or {})}) as server:
        yield server, filled


def _make(folder: Path) -> None:
    files = session_folder() / "everything-files"
    files.mkdir()
    with chdir(files), running_server(folder / "server", environment=KEY) as server:
        filled = fill(server.uri, files)
    (folder / "filled.pickle").write_bytes(pickle.dumps(filled))


@contextmanager
def _tracking_to(uri: str) -> Iterator[None]:
    """Point MLflow's client at a server, tracing included, and back once all spans are there."""
    with tracking_to(uri):
        try:
            yield
        finally:
            mlflow.flush_trace_async_logging()


def _headers() -> dict[str, str]:

    creds = get_default_host_creds("http://any")
    headers = {}
    if creds.username and creds.password:
        pair = base64.b64encode(f"{creds.username}:{creds.password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    if workspace := os.environ.get("MLFLOW_WORKSPACE"):
        headers["X-MLFLOW-WORKSPACE"] = workspace
    return headers
