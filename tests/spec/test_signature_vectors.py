"""Every case of signatures yields its codes, and those of the spec are the same as those of the code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.format.problems import SIGNATURE_PROBLEMS
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.checks import check_signatures
from mlflow_archive.signing.report import SignatureOptions
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level
from tests.spec.make_signature_vectors import CASES, ROOT, VECTORS
from tests.spec.test_documents import code_table, sections

INDEX: dict[str, dict[str, Any]] = json.loads((VECTORS / "index.json").read_text("utf-8"))


@pytest.mark.parametrize("name", INDEX)
def test_a_case_yields_its_codes(tmp_path: Path, name: str) -> None:
    archive, case = tmp_path / "a.mlfa", INDEX[name]
    shutil.copy(ROOT / case["archive"], archive)
    shutil.copytree(VECTORS / name, tmp_path / "a.mlfa.sig")
    options = SignatureOptions(
        signers=VECTORS / "allowed_signers",
        required=case["require_signature"],
        tsa_ca=VECTORS / "authorities.pem" if case["authorities"] else None,
    )
    with open_archive(archive) as opened:
        report = check_signatures(opened, options)
    assert [problem.code for problem in report.problems] == case["codes"]


def test_the_index_lists_what_is_there_and_what_is_made() -> None:
    assert set(INDEX) == {path.name for path in VECTORS.iterdir() if path.is_dir()} == set(CASES)
    for name, case in CASES.items():
        assert (INDEX[name]["codes"], INDEX[name]["what"]) == (list(case.codes), case.what)
        assert INDEX[name]["archive"] == case.archive(name)
        assert name[:4] in (*case.codes, "sign", "stam")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.forge])
def test_nothing_but_the_signature_tells_of_a_forged_archive(name: str) -> None:
    report = verify(ROOT / CASES[name].archive(name), Level.FULL)
    assert [problem.code for problem in report.problems] == []


def test_every_code_is_described_cited_and_has_a_case() -> None:
    assert code_table("Signatures") == dict(SIGNATURE_PROBLEMS)
    text = (ROOT / "signatures.md").read_text("utf-8")
    assert set(re.findall(r"`\[([EW]\d{3})\]`", text)) == set(SIGNATURE_PROBLEMS)
    assert {code for case in CASES.values() for code in case.codes} == set(SIGNATURE_PROBLEMS)
    numbered = {heading.partition(".")[0]: below for heading, below in sections(text).items()}
    listed = sections((ROOT / "problems.md").read_text("utf-8"))["Signatures"]
    for code, places in re.findall(r"^\| ([EW]\d{3}) \|.*\| ([\d, ]+) \|$", listed, re.MULTILINE):
        assert all(f"`[{code}]`" in numbered[place] for place in places.split(", ")), code
