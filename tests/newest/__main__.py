"""Write ``routes.txt`` anew, once somebody has looked at what the newest MLflow adds."""

from __future__ import annotations

from tests.newest.environment import newest
from tests.newest.test_newest import ROUTES

if __name__ == "__main__":
    ROUTES.write_text("".join(f"{route}\n" for route in newest().routes), "utf-8")
