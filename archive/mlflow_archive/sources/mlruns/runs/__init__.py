"""Experiments and runs in a file store."""
