"""Which worker gets which test: tests that share what takes long to make go to one, which makes it once.

Workers know what tests share, as they collect them; they leave that where the process that schedules finds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.session_folder import made_once, session_folder

_NAME: Final = "groups.json"


def write_groups(groups: Mapping[str, str]) -> None:
    """Leave the groups of tests by node id; all workers collect the same."""
    made_once(_NAME, lambda path: path.write_text(json.dumps(groups), "utf-8"))


class SharingScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist says nothing of types
    """Sends a group to one worker, and all other tests one by one to who has least to do, in the order they have."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return str(self._groups.get(nodeid, nodeid))

    @cached_property
    def _groups(self) -> dict[str, Any]:
        groups: dict[str, Any] = json.loads((session_folder() / _NAME).read_text("utf-8"))
        return groups
