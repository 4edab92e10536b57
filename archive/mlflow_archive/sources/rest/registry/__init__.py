"""Registered models, prompts and webhooks over REST; imports none of the families beside it. Start at ``registry``."""
