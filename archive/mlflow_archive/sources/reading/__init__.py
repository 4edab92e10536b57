"""The toolbox of the sources: rows on their way into a chunk, gaps, points, objects that are read from files.

Knows tables and selections, but neither MLflow nor the place where anything is read; imports no source. Start with
``rows.Rows``, which becomes a chunk, and ``records``, whose ``Entity`` and ``RunRecord`` fill it.
"""
