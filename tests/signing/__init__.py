"""Signatures beside an archive: one form, whose, of what, and when."""
