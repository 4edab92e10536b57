"""Any MLflow tracking server as a source, read over its REST API.

What belongs to one family of objects lies in ``runs``, ``traces``, ``registry`` and ``objects`` (evaluation, review,
gateway, MCP); these know nothing of each other. What they share lies beside them: the workspace being read (``scope``),
what runs tell of later kinds (``findings``), lists, look-ups by id, files, cells. Only ``source`` and ``catalog``,
which answers what a selection asks, know all of it: start at ``source``, at ``plan``. May import ``http``,
``artifact_roots``, ``selecting`` and what lies below them, no MLflow.
"""

from mlflow_archive.sources.rest.source import RestSource

__all__ = ["RestSource"]
