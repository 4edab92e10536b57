"""``python -m mlflow_archive_cli`` is ``mlflow-archive``."""

from __future__ import annotations

from mlflow_archive_cli.main import main

if __name__ == "__main__":
    main()
