"""Names of artifact files: which can be kept as text, which may become a path."""

from __future__ import annotations

import os


def printable(name: str) -> str:
    """Return a file name as text that any encoding holds: bytes that are not UTF-8 become ``\\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Return whether a file name can be kept as text."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def stays_below(path: str) -> bool:
    """Return whether a path, ``/`` between its parts, names something below the folder it is taken from.

    >>> stays_below("model/MLmodel"), stays_below("../x"), stays_below("/x"), stays_below("a//b")
    (True, False, False, False)
    """
    parts = path.split("/")
    return is_utf8(path) and "\x00" not in path and not any(part in ("", ".", "..") for part in parts)
