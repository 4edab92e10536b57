"""Evaluation, review, gateway and MCP objects over REST."""
