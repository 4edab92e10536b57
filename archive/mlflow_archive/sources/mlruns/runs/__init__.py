"""Experiments and runs in a file store. Start with ``runs.read_run`` and ``experiments.add_experiment``."""
