"""Runs into a target."""
