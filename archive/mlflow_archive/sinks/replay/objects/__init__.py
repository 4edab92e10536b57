"""The small kinds into a target, one module each: evaluation datasets, issues, scorers, review, gateway, MCP servers.

Most have no tags, so they are found by name, or as equals of what is there (``equals``). Writers of the gateway share
``gateway_names``. Imports no other family. Start with ``issues.IssueWriter``, a whole kind in one module.
"""
