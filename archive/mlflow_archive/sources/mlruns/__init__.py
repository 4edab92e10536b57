"""The file store source: ``mlruns/`` folders of MLflow 0.x to 3.x, read from disk as they lie there.

MLflow's own reader is not used: it refuses file stores since 3.17, loses runs whose empty folders git dropped and lists
no artifacts once the folder has moved. Nothing is written below the store and nothing is unpickled.

Start with ``source``; ``planning`` cuts what is read into shards, ``catalog`` says what there is, ``layout`` knows
where it lies. The families ``runs``, ``logged_models``, ``traces`` and ``registry`` read one family of objects each:
they import ``sources.reading`` and the modules beside them that know files (``meta``, ``keyfiles``, ``metric_lines``,
``location``, ``index``), and not one another.
"""

from mlflow_archive.sources.mlruns.source import MlrunsSource

__all__ = ["MlrunsSource"]
