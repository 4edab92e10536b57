"""The limit to compare with: the least a client can do to read or write metric points over MLflow's REST API.

    bare_client.py read  URI THREADS   reads every metric history with metrics/get-history-bulk
    bare_client.py write URI THREADS RUNS POINTS   writes points with log-batch, 1000 a request

Prints one JSON line: points, seconds. Keeps connections open and acknowledges at once, as a good client would.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Any
from urllib.parse import urlencode, urlsplit

_thread = local()


class _Connection(http.client.HTTPConnection):
    def getresponse(self) -> http.client.HTTPResponse:
        if hasattr(socket, "TCP_QUICKACK"):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return super().getresponse()


def _call(uri: str, method: str, path: str, body: object = None) -> Any:
    connection = getattr(_thread, "connection", None)
    if connection is None:
        parts = urlsplit(uri)
        connection = _thread.connection = _Connection(parts.hostname or "", parts.port)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, path, body=data, headers={"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != http.client.OK:
        message = f"{method} {path}: {response.status} {answer[:200]!r}"
        raise RuntimeError(message)
    return json.loads(answer)


def _all_runs(uri: str) -> list[dict[str, Any]]:
    query = {"max_results": 1000, "view_type": "ALL"}
    experiments = _call(uri, "POST", "/api/2.0/mlflow/experiments/search", query)["experiments"]
    ids = [experiment["experiment_id"] for experiment in experiments]
    runs, token = [], ""
    while True:
        body = {"experiment_ids": ids, "run_view_type": "ALL", "max_results": 200, "page_token": token}
        page = _call(uri, "POST", "/api/2.0/mlflow/runs/search", body)
        runs += page.get("runs", [])
        token = page.get("next_page_token", "")
        if not token:
            return runs


def _read_bulk(uri: str, key: str, run_ids: list[str]) -> int:
    query = urlencode([("metric_key", key), ("max_results", "25000"), *(("run_id", run) for run in run_ids)])
    return len(_call(uri, "GET", f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?{query}")["metrics"])


def read(uri: str, threads: int) -> int:
    """Read all histories; return the number of points."""
    by_key: dict[str, list[str]] = {}
    for run in _all_runs(uri):
        for metric in run["data"].get("metrics", []):
            by_key.setdefault(metric["key"], []).append(run["info"]["run_id"])
    tasks = [(key, runs[at : at + 100]) for key, runs in by_key.items() for at in range(0, len(runs), 100)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda task: _read_bulk(uri, *task), tasks))


def write(uri: str, threads: int, runs: int, points: int) -> int:
    """Write ``points`` metric points into each of ``runs`` new runs; return the number of points."""
    name = f"bare-{time.time_ns()}"
    experiment = _call(uri, "POST", "/api/2.0/mlflow/experiments/create", {"name": name})["experiment_id"]

    def one(_: int) -> int:
        body: dict[str, Any] = {"experiment_id": experiment, "start_time": 1_760_000_000_000}
        run_id = _call(uri, "POST", "/api/2.0/mlflow/runs/create", body)["run"]["info"]["run_id"]
        for at in range(0, points, 1000):
            metrics = [
                {"key": f"m{i % 10}", "value": i * 0.37, "timestamp": 1_760_000_000_000 + i, "step": i}
                for i in range(at, min(at + 1000, points))
            ]
            _call(uri, "POST", "/api/2.0/mlflow/runs/log-batch", {"run_id": run_id, "metrics": metrics})
        return points

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(runs)))


def main() -> None:
    verb, uri, *numbers = sys.argv[1:]
    started = time.perf_counter()
    points = (read if verb == "read" else write)(uri, *map(int, numbers))
    print(json.dumps({"points": points, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
