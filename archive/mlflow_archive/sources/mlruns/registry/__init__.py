"""Registered models in a file store, with their versions' files. Start with ``registry.read_registered_model``."""
