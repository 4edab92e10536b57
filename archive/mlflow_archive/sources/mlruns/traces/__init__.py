"""Traces in a file store, with their assessments. Start with ``traces.read_trace``."""
