"""MLflow itself on an archive: its client by the URI ``mlflow-archive:PATH``, its web pages by ``serve``.

An archive is restored once into a SQLite file of a cache (``database``), which MLflow's own stores read and nothing
can write to (``stores``); artifact bytes stay in the archive (``artifacts``).
"""
