"""spec/mlflow.md says what the code does with every table and column of MLflow's database."""

from __future__ import annotations

from tests.spec.mapping_page import PAGE, page


def test_the_page_is_what_the_code_does() -> None:
    found = page()
    assert PAGE.read_text("utf-8") == found
    assert "| not carried |" not in found, "a column is neither carried nor left out with a reason"
