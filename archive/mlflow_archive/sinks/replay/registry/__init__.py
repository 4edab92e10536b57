"""Registered models, prompts, their versions and aliases, and webhooks into a target.

MLflow numbers versions itself and takes only sources that it knows; ``model_versions`` keeps the numbers of the source,
``version_sources`` finds a source, and ``carriers`` makes one for files that lie under no run and no logged model.
Imports no other family. Start with ``registry.RegistryWriter``.
"""
