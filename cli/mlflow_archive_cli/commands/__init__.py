"""The verbs. Each module has one ``command``; ``mlflow_archive_cli.main`` imports only the one that is called."""
