"""Experiments and runs as mlflow-export-import wrote them."""
