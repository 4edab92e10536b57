"""Logged models into a target."""
