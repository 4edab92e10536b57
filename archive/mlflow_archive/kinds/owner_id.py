"""How an ``owner_id`` is made of what names an object: the first owner column, qualified by those behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

DEFAULT_WORKSPACE: Final = "default"

OWNER_SEPARATOR: Final = "\x1f"
"""Between the values of several owner columns that qualify no name, in an ``owner_id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualifier:
    """A column that says within what a name is one: its value stands before the name, unless it is ``usual``."""

    mark: str = ""
    usual: str

    def before(self, name: str, value: str | None) -> str:
        """Return a name within what ``value`` says."""
        return name if value in (None, "", self.usual) else f"{self.mark}{value}/{name}"


QUALIFIERS: Final = MappingProxyType(
    {"workspace": Qualifier(usual=DEFAULT_WORKSPACE), "organization": Qualifier(mark="@", usual="")}
)
"""By column, the outermost first; owner columns have this order too."""


def named_owner(name: str, workspace: str | None) -> str:
    """Return the ``owner_id`` of an entity that has a name within a workspace.

    >>> named_owner("churn", "default"), named_owner("churn", "team")
    ('churn', 'team/churn')
    """
    return QUALIFIERS["workspace"].before(name, workspace)


def name_in_workspace(row: Mapping[str, str | None]) -> str:
    """Return the name by which MLflow itself calls the object of a row within its workspace.

    >>> name_in_workspace({"name": "review"}), name_in_workspace({"name": "review", "organization": "acme"})
    ('review', '@acme/review')
    """
    return QUALIFIERS["organization"].before(str(row["name"]), row.get("organization"))
