"""`make bench-waiting`: workers against a server that waits 50 ms before each answer and computes nothing.

What such a server gives in one time, two processes should get in half of it: what stays shared is planning and merging.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.listening import listening

from mlflow_archive.api.verbs import ExportOptions, export
from mlflow_archive.selecting.selection import Selection

WAIT_SECONDS = 0.05
RUNS = 4_000
METRICS = 16
START_MS = 1_760_000_000_000


def run_of(number: int) -> dict[str, Any]:
    """Return a run as MLflow's JSON, with one point of each metric."""
    run_id = f"{number:032x}"
    metrics = [{"key": f"m{key}", "value": 0.5, "timestamp": START_MS, "step": 0} for key in range(METRICS)]
    info = {"run_id": run_id, "run_uuid": run_id, "run_name": f"run {number}", "experiment_id": "1"}
    times = {"start_time": START_MS + number, "end_time": START_MS + number + 500}
    state = {"status": "FINISHED", "lifecycle_stage": "active", "user_id": "u", "artifact_uri": ""}
    return {"info": {**info, **times, **state}, "data": {"metrics": metrics, "params": [], "tags": []}}


def page_of(query: dict[str, Any]) -> dict[str, Any]:
    """Return a page of runs as MLflow does: by start time, from an offset on."""
    since = re.search(r"start_time >= ([0-9]+)", query.get("filter", ""))
    token = query.get("page_token")
    first = int(since[1]) - START_MS if since else 0
    first += json.loads(base64.b64decode(token))["offset"] if token else 0
    end = first + query["max_results"]
    following = base64.b64encode(json.dumps({"offset": end}).encode()).decode("ascii")
    runs = [run_of(number) for number in range(first, min(end, RUNS))]
    return {"runs": runs, **({"next_page_token": following} if end < RUNS else {})}


def answer(path: str, query: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of an answer."""
    if path.endswith("experiments/search"):
        experiment = {"experiment_id": "1", "name": "waiting", "lifecycle_stage": "active", "artifact_location": ""}
        return 200, {"experiments": [experiment]}
    if path.endswith("runs/search"):
        return 200, page_of(query)
    if path.endswith("get-history-bulk"):
        point = {"key": query["metric_key"][0], "value": 0.5, "timestamp": START_MS, "step": 0}
        return 200, {"metrics": [{**point, "run_id": run_id} for run_id in query["run_id"]]}
    return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "there is no such endpoint"}


class Waiting(BaseHTTPRequestHandler):
    """Waits, then answers."""

    protocol_version = "HTTP/1.1"

    def handle_request_of_any_kind(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(WAIT_SECONDS)
        status, content = answer(parts.path, {**parse_qs(parts.query), **json.loads(body or b"{}")})
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = handle_request_of_any_kind  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


def seconds_of(uri: str, path: Path, processes: int) -> float:
    """Export with so many processes; return how long it took."""
    started = time.perf_counter()
    selection = Selection(kinds=("experiment", "run"), artifacts=False)
    report = export(path, uri, options=ExportOptions(processes=processes), selection=selection)
    seconds = time.perf_counter() - started
    if report.counts["runs"] != RUNS or not report.complete:
        message = f"expected {RUNS} runs and no gap, found {report.counts}"
        raise RuntimeError(message)
    return seconds


def main() -> None:
    with listening(Waiting) as uri, tempfile.TemporaryDirectory() as folder:
        one, two = (seconds_of(uri, Path(folder, f"{number}"), number) for number in (1, 2))
        print(f"one process {one:.1f} s, two {two:.1f} s: {one / two:.2f} times (goal 1.8)", flush=True)


if __name__ == "__main__":
    main()
