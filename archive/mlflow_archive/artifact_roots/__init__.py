"""Where artifacts lie: folders, object stores, a server's proxied root; read and written by URI."""

from mlflow_archive.artifact_roots.roots import ArtifactRoots, ArtifactWriteError, Listing

__all__ = ["ArtifactRoots", "ArtifactWriteError", "Listing"]
