"""Traces of an export, with their spans. Start with ``traces.read_trace``."""
