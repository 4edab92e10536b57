"""The sink that restores: an archive into a backend database, with every id kept."""

from mlflow_archive.sinks.restore.checks import columns_to_check
from mlflow_archive.sinks.restore.options import RestoreOptions
from mlflow_archive.sinks.restore.preflight import PreflightSink, RestoreRefusedError
from mlflow_archive.sinks.restore.sink import RestoreSink

__all__ = ["PreflightSink", "RestoreOptions", "RestoreRefusedError", "RestoreSink", "columns_to_check"]
