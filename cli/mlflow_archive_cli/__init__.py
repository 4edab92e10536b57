"""The command ``mlflow-archive``: one verb, one file in ``commands``; all work is done by ``mlflow_archive``."""
