"""Registered models and prompts of an export, with their versions' files. Start with ``registry.read_model``."""
