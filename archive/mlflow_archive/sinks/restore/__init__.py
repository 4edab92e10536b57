"""The sink that restores: an archive into a backend database, with every id kept.

Two passes: ``preflight`` looks for everything that prevents it and writes nothing, ``sink`` writes in one transaction.
``database`` is what both need of a database, ``sqlite`` and ``server`` are its two forms. Imports ``mlflow_database``
(what lies where), ``artifact_roots`` (where files go) and the layers below them, and no other sink.
"""

from mlflow_archive.sinks.restore.checks import columns_to_check
from mlflow_archive.sinks.restore.options import RestoreOptions
from mlflow_archive.sinks.restore.preflight import PreflightSink, RestoreRefusedError
from mlflow_archive.sinks.restore.sink import RestoreSink

__all__ = ["PreflightSink", "RestoreOptions", "RestoreRefusedError", "RestoreSink", "columns_to_check"]
