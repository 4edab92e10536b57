"""What people do from Python, and what every command does: the verbs, and an open archive to look into.

``mlflow_archive`` itself offers the names from here, each imported when it is first used. This package may import all
others; nothing but the command imports it. Start with ``verbs`` (export, replay, restore, serve) and ``open_archive``
(tables, search, runs, artifacts); ``diffing``, ``report``, ``sql`` and ``serving`` are one feature each. It never
prints: it returns values, and hears of progress through ``progress``.
"""
