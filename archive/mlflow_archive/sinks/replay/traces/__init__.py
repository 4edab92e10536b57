"""Traces into a target."""
