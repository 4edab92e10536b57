"""Registered models, prompts and webhooks over REST."""
