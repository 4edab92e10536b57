#!/usr/bin/env bash
# MLflow's trace search takes of several conditions on `trace.run_id` the last one only: a filter that asks for the traces
# of one run AND of another, which no trace fulfils, gives those of the second.
#
# Seen with mlflow 3.17.2 on a SQLite store: `trace.run_id = 'A' AND trace.run_id = 'B'` gives the trace of B, and that of A
# where the two are swapped. Expected: none, as AND of other conditions gives.
# What follows for a reader that puts its own condition beside a user's filter: what comes back is compared again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat > show.py <<'P'
import mlflow

mlflow.set_tracking_uri("sqlite:///store.db")
experiment = mlflow.create_experiment("e", artifact_location="files")
mlflow.set_experiment("e")
runs = {}
for name in ("first", "second"):
    with mlflow.start_run() as run, mlflow.start_span(name):
        runs[run.info.run_id] = name
mlflow.flush_trace_async_logging()
first, second = runs


def answer(*ids):
    text = " AND ".join(f"trace.run_id = '{run_id}'" for run_id in ids)
    traces = mlflow.search_traces(locations=[experiment], filter_string=text, return_type="list")
    return [runs[trace.info.request_metadata["mlflow.sourceRun"]] for trace in traces]


print(answer(first), answer(second), answer(first, second), answer(second, first))
assert (answer(first), answer(second)) == (["first"], ["second"])
assert (answer(first, second), answer(second, first)) == (["second"], ["first"])
P
MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true venv/bin/python -W ignore show.py 2> errors || { cat errors; exit 1; }
echo "as seen before"
