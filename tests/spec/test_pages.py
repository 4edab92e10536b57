"""The pages that are made from code say what the code does: `make spec` would change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from spec.generate import SPEC, pages


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    return pages()


@pytest.mark.parametrize("name", ["mlflow.md", "tables.md"])
def test_the_page_is_what_the_code_says(name: str, generated: dict[Path, str]) -> None:
    assert (SPEC / name).read_text("utf-8") == generated[SPEC / name]


def test_every_column_of_mlflow_is_carried_or_left_out_with_a_reason(generated: dict[Path, str]) -> None:
    assert "| not carried |" not in generated[SPEC / "mlflow.md"]
