"""Text of strangers made harmless for a terminal. Imports nothing, as it is needed before anything else is."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Escape what would break the line or steer the terminal.

    >>> one_line("a\\nb")
    'a\\\\nb'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
