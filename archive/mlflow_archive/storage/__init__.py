"""Bytes at rest: a directory or one file. Knows names and sizes, not what they mean."""
