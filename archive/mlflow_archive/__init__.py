"""mlflow-archive: an MLflow tracking server as one offline archive, and back."""

__version__ = "0.1.0"
