#!/usr/bin/env bash
# `mlflow gc` of a run takes the points of a logged model along that were logged in that run, although the model was made by
# another run and stays.
#
# Seen with mlflow 3.17.2 on a SQLite store: a logged model that one run made has points of two runs; after `mlflow gc` of
# the other run it is there with those of its maker only. Expected: what belongs to a model that stays, stays.
# What follows for a program that purges runs: it looks for such points first, and leaves the run deleted, not purged.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat > show.py <<'P'
import subprocess
import sys

import mlflow

mlflow.set_tracking_uri("sqlite:///store.db")
client = mlflow.MlflowClient()
experiment = client.create_experiment("e", artifact_location="files")
maker, judge = (client.create_run(experiment).info.run_id for _ in range(2))
model_id = client.create_logged_model(experiment, "net", maker).model_id
for run_id, key in ((maker, "of maker"), (judge, "of judge")):
    client.log_metric(run_id, key, 0.5, model_id=model_id)


def points():
    return sorted(metric.key for metric in client.get_logged_model(model_id).metrics or ())


before = points()
client.delete_run(judge)
deleted = points()
command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", "sqlite:///store.db", "--run-ids", judge]
subprocess.run(command, check=True, capture_output=True)
print("before:", before, "run deleted:", deleted, "after gc:", points())
assert (before, deleted, points()) == (["of judge", "of maker"], ["of judge", "of maker"], ["of maker"])
P
MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true venv/bin/python -W ignore show.py 2> errors || { cat errors; exit 1; }
echo "as seen before"
