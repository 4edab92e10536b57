"""Registered models and prompts as mlflow-export-import wrote them."""
