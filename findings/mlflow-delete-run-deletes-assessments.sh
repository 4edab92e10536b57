#!/usr/bin/env bash
# MLflow's delete of a run, which restore_run takes back, deletes the assessments that name the run as their source, of
# whatever trace, for good: restore_run brings back the run and not them.
#
# Seen with mlflow 3.17.2 on a SQLite store: a trace that was not made in the run has one assessment, none once the run is
# deleted, and none once it is restored. Expected: what a soft delete hides comes back with its restore.
# What follows for a program that deletes runs: it asks which runs assessments come from, and leaves those, or says in the
# database alone that a run is deleted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat > show.py <<'P'
import mlflow
from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback

mlflow.set_tracking_uri("sqlite:///store.db")
client = mlflow.MlflowClient()
experiment = mlflow.create_experiment("e", artifact_location="files")
mlflow.set_experiment("e")
with mlflow.start_span("asked") as span:
    pass
mlflow.flush_trace_async_logging()
run_id = client.create_run(experiment).info.run_id
source = AssessmentSource(AssessmentSourceType.CODE, "judge")
metadata = {"mlflow.assessment.sourceRunId": run_id}
mlflow.log_assessment(span.trace_id, Feedback(name="good", value=True, source=source, metadata=metadata))


def assessments():
    return [each.name for each in client.get_trace(span.trace_id).info.assessments]


before = assessments()
client.delete_run(run_id)
deleted = assessments()
client.restore_run(run_id)
print("before:", before, "run deleted:", deleted, "run restored:", assessments())
assert (before, deleted, assessments()) == (["good"], [], [])
P
MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true venv/bin/python -W ignore show.py 2> errors || { cat errors; exit 1; }
echo "as seen before"
