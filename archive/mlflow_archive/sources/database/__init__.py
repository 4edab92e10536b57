"""MLflow's backend databases as a source: every schema revision since 2019, read with SQL, never by MLflow's own store.

Start at ``source.DatabaseSource``. Around it: ``snapshot`` is one consistent view (one module a driver: ``sqlite``,
``postgresql``, ``mysql``); ``catalog`` answers what a selection asks; ``reading`` and ``converting`` turn
the map in ``mlflow_database`` into queries, and answers into rows; ``entities`` makes chunks of them; ``artifacts``
finds files; ``orphans`` and ``gaps`` report what cannot come. May import SQLAlchemy and ADBC, neither MLflow nor HTTP.
"""

from mlflow_archive.sources.database.source import DatabaseSource

__all__ = ["DatabaseSource"]
