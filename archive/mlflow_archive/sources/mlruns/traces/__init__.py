"""Traces in a file store."""
