"""The verbs. Each module has one ``command``; ``mlflow_archive_cli.main`` imports only the one that is called.

A command turns options into records, calls one function of ``mlflow_archive`` and prints what it returns.
"""
