"""Registered models, their versions, prompts and webhooks into a target."""
