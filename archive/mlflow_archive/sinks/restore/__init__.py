"""The sink that restores: an archive into a backend database, with every id kept."""

from mlflow_archive.sinks.restore.checks import UNCHECKED
from mlflow_archive.sinks.restore.options import RestoreOptions
from mlflow_archive.sinks.restore.preflight import PreflightSink, RestoreRefusedError
from mlflow_archive.sinks.restore.sink import RestoreSink

__all__ = ["UNCHECKED", "PreflightSink", "RestoreOptions", "RestoreRefusedError", "RestoreSink"]
