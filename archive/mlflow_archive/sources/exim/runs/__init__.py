"""Experiments and runs of an export. Start with ``runs.read_run`` and ``experiments.add_experiment``."""
