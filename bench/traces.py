"""10,000 traces of 10 spans, out of a database and over the API, into a server and a database; for `make bench-traces`.

Each figure is a whole process: wall and processor seconds, peak memory.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from bench.measuring import apart, measure, tool
from tests.support.mlflow_server import running_server

Row = tuple[object, ...]

TRACES, SPANS = 10_000, 10
_TRACE = (
    "request_id experiment_id timestamp_ms execution_time_ms status request_preview response_preview "
    "db_payload_generation"
)
_SPAN = "trace_id experiment_id span_id parent_span_id name type status start_time_unix_nano end_time_unix_nano content"
START_NS = 1_760_000_000_000_000_000


def fill(database: Path) -> None:
    """Make MLflow's tables in a new SQLite file and put the traces into them."""
    code = "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; S(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, f"sqlite:///{database}", "/x"], check=True, capture_output=True)
    with closing(sqlite3.connect(database)) as connection, connection:
        traces: list[Row] = []
        tags: list[Row] = []
        metadata: list[Row] = []
        spans: list[Row] = []
        for number in range(TRACES):
            trace = f"tr-{number:032x}"
            began = START_NS + number * 1_000_000_000
            traces.append((trace, 0, began // 1_000_000, 12, "OK", '{"question": "why"}', '"because"', 0))
            tags += [(trace, "mlflow.trace.spansLocation", "TRACKING_STORE"), (trace, "team", f"t{number % 7}")]
            sizes = json.dumps({"num_spans": SPANS})
            metadata += [(trace, "mlflow.trace_schema.version", "3"), (trace, "mlflow.trace.sizeStats", sizes)]
            spans += [_span(trace, number, each, began) for each in range(SPANS)]
        _insert(connection, "trace_info", _TRACE, traces)
        _insert(connection, "trace_tags", "request_id key value", tags)
        _insert(connection, "trace_request_metadata", "request_id key value", metadata)
        _insert(connection, "spans", _SPAN, spans)


def _insert(connection: sqlite3.Connection, table: str, names: str, rows: list[Row]) -> None:
    columns = names.split()
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def _span(trace: str, number: int, each: int, began: int) -> Row:
    import base64  # noqa: PLC0415

    own = f"{number * SPANS + each + 1:016x}"
    parent = None if each == 0 else f"{number * SPANS + 1:016x}"
    start, end = began + each * 1000, began + each * 1000 + 900
    content: dict[str, object] = {
        "trace_id": base64.b64encode(bytes.fromhex(trace[3:])).decode(),
        "span_id": base64.b64encode(bytes.fromhex(own)).decode(),
        "parent_span_id": parent and base64.b64encode(bytes.fromhex(parent)).decode(),
        "name": f"step {each}",
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {
            "mlflow.traceRequestId": json.dumps(trace),
            "mlflow.spanType": '"TOOL"',
            "mlflow.spanInputs": json.dumps({"text": f"input {number} {each} " * 5}),
            "mlflow.spanOutputs": json.dumps(f"output {number} {each} " * 5),
        },
    }
    return trace, 0, own, parent, f"step {each}", "TOOL", "OK", start, end, json.dumps(content)


def say(name: str, *arguments: object) -> None:
    """Run the command and print what it took."""
    done = measure(tool(*arguments, "-q"))
    wall, cpu, peak = done.seconds, done.cpu_seconds, done.peak_mb
    print(f"{name:<24} {wall:7.1f} s wall {cpu:6.1f} s cpu {peak:5.0f} MB {TRACES / wall:6.0f} traces/s", flush=True)


def main() -> None:
    """Make the database, and print all figures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "source").mkdir()
        database = folder / "source" / "mlflow.db"
        apart(fill, database)
        print(f"{TRACES:,} traces of {SPANS} spans", flush=True)
        say("export of the database", "export", folder / "a.mlfa", "--from", f"sqlite:///{database}")
        with running_server(folder / "source", backend=f"sqlite:///{database}") as server:
            say("export over the API", "export", folder / "b.mlfa", "--from", server.uri)
        with running_server(folder / "target") as server:
            say("import into a server", "import", folder / "a.mlfa", "--to", server.uri)
            say("import once more", "import", folder / "a.mlfa", "--to", server.uri)
        uri = f"sqlite:///{folder / 'restored.db'}"
        say("restore", "restore", folder / "a.mlfa", "--to", uri, "--artifact-root", folder / "root")


if __name__ == "__main__":
    main()
