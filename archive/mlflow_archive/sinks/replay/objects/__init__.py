"""The small kinds into a target: evaluation, review, gateway, MCP."""
