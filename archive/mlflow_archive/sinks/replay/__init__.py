"""Replay: writes into any MLflow server or store through MLflow's API, with new ids and source tags.

    sink = ReplaySink(open_target("http://127.0.0.1:5000"), options=ReplayOptions(experiment_prefix="old/"))
    report = copy(source, sink)

``sink`` hands each chunk to the writers of its kinds. These lie in a folder a family: ``runs``, ``logged_models``,
``registry``, ``traces``, ``objects``; a family imports no other, but ``context``, ``object_writer`` (the engine of all
small kinds) and the folders that all share: ``writing``, ``places``, ``target``. Start with ``writers``, the list of
all writers, then ``objects/review``.
"""

from mlflow_archive.sinks.replay.locate import open_target
from mlflow_archive.sinks.replay.options import Limits, ReplayOptions
from mlflow_archive.sinks.replay.sink import ReplaySink
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.workspace_sink import WorkspaceSink

__all__ = ["Limits", "ReplayOptions", "ReplaySink", "Target", "WorkspaceSink", "open_target"]
