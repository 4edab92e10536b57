"""The source for folders of mlflow-export-import: the JSON that it writes, in every layout it has written.

Read as it lies there, without that tool and without MLflow. A JSON document says what it is by its name and its
content, never by where it lies, so that any folder of such an export can be given, the outermost or an inner one.

Start with ``source``; ``index`` says what a folder holds, ``catalog`` and ``planning`` what of it is read. ``runs``,
``registry``, ``traces``, ``logged_models`` and ``evaluation`` read one family of objects each: they import
``sources.reading`` and the modules beside them that know documents (``documents``, ``fields``, ``files``, ``parts``),
and not one another.
"""

from mlflow_archive.sources.exim.source import EximSource

__all__ = ["EximSource"]
