"""Registered models in a file store."""
