"""Traces as mlflow-export-import wrote them."""
