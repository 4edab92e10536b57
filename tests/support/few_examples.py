"""A profile of hypothesis for runs that repeat tests thousands of times: ``--hypothesis-profile few-examples``.

The examples are the same each time, and how long one takes is no failure.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def register_few_examples() -> None:
    """Make the profile known under its name."""
    settings.register_profile(
        "few-examples",
        max_examples=10,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
