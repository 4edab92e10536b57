"""Any MLflow tracking server as a source, read over its REST API."""

from mlflow_archive.sources.rest.source import RestSource

__all__ = ["RestSource"]
