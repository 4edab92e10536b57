"""Evaluation, review, gateway and MCP objects over REST; imports none of the families beside it.

A module each, all alike: ``plan_X`` yields batches of a kind, functions ``…_row(s)`` make rows of one object.
"""
