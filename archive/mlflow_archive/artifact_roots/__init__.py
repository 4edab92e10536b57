"""Where artifacts lie: folders, object stores, a server's proxied root; read and written by URI.

Start at ``roots.ArtifactRoots``, which leads a URI to ``local`` (folders of this machine) or to a ``Store``:
``buckets`` (object stores, through fsspec, connected to by ``clouds``), ``hosts`` (``sftp`` and ``ftp``), ``server``
(the proxy of an MLflow server, files of Databricks). ``names`` says which names may become paths, ``declared`` and
``attachments`` which files an object must have. Sources and sinks share this package; it knows artifact files only,
no MLflow, no tables.
"""

from mlflow_archive.artifact_roots.roots import ArtifactRoots, ArtifactWriteError, Listing

__all__ = ["ArtifactRoots", "ArtifactWriteError", "Listing"]
