"""The small kinds into a target, one module each: evaluation datasets, issues, scorers, review, gateway, MCP servers.

Each says how its objects are found and made; the rest is the engine's (``object_writer``). Writers of the gateway share
``gateway_names``. Imports no other family. Start with ``review.LabelSchemaWriter``, a whole kind in forty lines.
"""
