"""A problem says where it is, what it is, and whether it makes an archive damaged."""

from __future__ import annotations

from mlflow_archive.format.problems import Problem


def test_a_problem_as_json() -> None:
    error = Problem(code="E010", member="a", message="gone").to_json()
    assert error == {"code": "E010", "severity": "error", "member": "a", "message": "gone"}
    warning = Problem(code="W001", member="", message="left").to_json()
    assert warning == {"code": "W001", "severity": "warning", "member": "", "message": "left"}
