"""The names by which slow tests and those with servers are known are names of something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.support.needs import SLOW, STARTERS

DEFINITION: Final = re.compile(r"^ *(?:def|class) (\w+)", re.MULTILINE)
OF_THE_STANDARD_LIBRARY: Final = {"Popen", "executable", "get_context"}


def test_what_is_renamed_is_still_known() -> None:
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.rglob("*.py")]
    defined = {name for text in texts for name in DEFINITION.findall(text)}
    assert (SLOW | STARTERS) - defined == OF_THE_STANDARD_LIBRARY
