"""Logged models in a file store."""
