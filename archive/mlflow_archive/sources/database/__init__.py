"""The source that reads MLflow's backend databases."""

from mlflow_archive.sources.database.source import DatabaseSource

__all__ = ["DatabaseSource"]
