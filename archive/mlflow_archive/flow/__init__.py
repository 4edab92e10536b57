"""What flows from a source to a sink, and the one loop (``copy``) that makes it flow.

Everything the project does is a copy from a :class:`~mlflow_archive.flow.source.Source` to a
:class:`~mlflow_archive.flow.sink.Sink`: export, import, conversion, counting. This package knows neither MLflow nor
files. Start with ``source`` and ``sink``; ``chunk`` is what passes between them.
"""
