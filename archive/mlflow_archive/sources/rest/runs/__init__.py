"""Experiments, runs and metric histories over REST."""
