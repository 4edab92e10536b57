"""The demo: a real file store goes into an archive, is looked at there, and comes out in a fresh SQLite store.

Run by `make demo`. Everything it makes lies in build/demo, which it empties first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD = REPOSITORY / "build" / "demo"
STORE = REPOSITORY / "demo" / "mlruns"
ARCHIVE = "backup.mlfa"
SOURCE_RUN = "a3112407148b4966b929bc9f8784a3d3"
PREFIX = "mlflow_export_import."


def main() -> None:
    """Run the demo and say what happens."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    target = f"sqlite:///{BUILD / 'mlflow.db'}"

    say(
        f"demo/mlruns is a file store that someone made with MLflow 1.x in 2022 and committed to GitHub "
        f"(demo/PROVENANCE.json). MLflow 3.17 refuses to open it. Export reads it from disk into one file, {ARCHIVE}:"
    )
    command("export", ARCHIVE, "--from", str(STORE), "--quiet")
    command("info", ARCHIVE)
    say("Verify reads every byte, decodes every row and artifact, and says what it promises:")
    command("verify", ARCHIVE, "--quiet")
    say("The archive can be looked at without any server. Its experiments, deleted ones too, and the newest runs:")
    command("ls", ARCHIVE)
    command("ls", ARCHIVE, "runs", "--sort", "-start_time", "--limit", "3", "--columns", "run_id,run_name,metrics.foo")
    command("show", ARCHIVE, SOURCE_RUN)
    command("cat", ARCHIVE, f"{SOURCE_RUN}/test.txt")
    print()
    say("Import replays it into a tracking store that did not exist before, a SQLite database of today's MLflow:")
    command("import", ARCHIVE, "--to", target, "--artifact-root", str(BUILD / "artifacts"), "--quiet")
    say("MLflow itself now shows the run, under a new id. The source tags keep what an import cannot:")
    show_imported(target)
    say(f"The archive is {BUILD / ARCHIVE} ({(BUILD / ARCHIVE).stat().st_size} bytes), the new store {target}.")


def say(text: str) -> None:
    """Print a paragraph."""
    print("\n" + textwrap.fill(text, 100) + "\n", flush=True)


def command(*arguments: str) -> None:
    """Show a command and run it; the demo ends where one fails."""
    print("$ mlflow-archive " + " ".join(arguments), flush=True)
    program = Path(sys.executable).with_name("mlflow-archive")
    done = subprocess.run([program, *arguments], cwd=BUILD, check=False)  # noqa: S603 - commands of this file
    if done.returncode:
        sys.exit(f"mlflow-archive {arguments[0]} ended with exit code {done.returncode}")


def show_imported(uri: str) -> None:
    """Print the imported run as MLflow's own client has it."""
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds, and nothing before needs it

    client = MlflowClient(tracking_uri=uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, filter_string=f"tags.`{PREFIX}run_info.run_id` = '{SOURCE_RUN}'")
    run = found[0]
    print(f"run {run.info.run_id}, name {run.info.run_name}, status {run.info.status}")
    print(f"  params     {run.data.params}")
    points = client.get_metric_history(run.info.run_id, "foo")
    print(f"  metric foo {[(point.step, point.value) for point in points]}")
    print(f"  artifacts  {[file.path for file in client.list_artifacts(run.info.run_id)]}")
    print("  source tags")
    tags = {key: value for key, value in sorted(run.data.tags.items()) if key.startswith(PREFIX)}
    width = max(map(len, tags))
    for key, value in tags.items():
        print(f"    {key:{width}}  {value}")


if __name__ == "__main__":
    main()
