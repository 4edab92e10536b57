"""A name as it stands in texts: as it is, in JSON within JSON, in a URI, with its accents as letters of their own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_BEHIND_AN_ESCAPE: Final = (
    r"(?<=\\[bfnrt])",  # these letters are an end of line or the like, in JSON
    r"(?<=\\u[0-9A-Fa-f]{4})",
    r"(?<=%[0-9A-Fa-f]{2})",
    r"(?<=%25[0-9A-Fa-f]{2})",
)
_LETTERS: Final = "A-Za-z0-9"


def beginning(letters: str = _LETTERS) -> str:
    """Return an expression for where a word may begin: behind none of some letters, unless these end an escape."""
    return f"(?:{'|'.join((f'(?<![{letters}])', *_BEHIND_AN_ESCAPE))})"


def whole_words(alternatives: str) -> re.Pattern[str]:
    """Return an expression for words, as far as no letter or digit stands beside them.

    >>> whole_words("ada").sub("?", r"ada, malice\\nada adam %2Fada")
    '?, malice\\\\n? adam %2F?'
    """
    return re.compile(rf"{beginning()}(?:{alternatives})(?![{_LETTERS}])")


def spelled(names: Iterable[str]) -> re.Pattern[str]:
    """Return an expression for names, in whatever form a text has them.

    >>> [bool(spelled(["ana é"]).search(text)) for text in ("ana é", r"ana \\\\u00E9", "ana%20%c3%a9", "ana+e\\u0301")]
    [True, True, True, True]
    """
    forms = {unicodedata.normalize(form, name) for name in names for form in ("NFC", "NFD")} | set(names)
    return whole_words("|".join("".join(map(_spellings, form)) for form in sorted(forms, key=len, reverse=True)))


def _spellings(character: str) -> str:
    """Return an expression for a character as it is, escaped in JSON, or quoted in a URI."""
    if character.isascii() and character.isalnum():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    escaped = "".join(rf"\\+u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    quoted = "".join(f"%(?:25)?{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    forms = [rf"\\*{re.escape(character)}", f"(?i:{escaped}|{quoted})", *([r"\+"] if character == " " else [])]
    return f"(?:{'|'.join(forms)})"
