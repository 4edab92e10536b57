"""Traces over REST."""
