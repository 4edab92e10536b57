"""What verify says of signatures that are not as they should be: one code for each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.checks import check_signatures
from mlflow_archive.signing.manifests import changed_since, manifest_bytes
from mlflow_archive.signing.report import SignatureOptions
from tests.cli.conftest import Command
from tests.support.memory_source import MemoryOptions, export
from tests.support.signers import Signer, allowed, sign_by_hand


@pytest.fixture
def signed(tmp_path: Path, ada: Signer) -> Path:
    """An archive of two exports, a folder, of which ada signed both."""
    path = tmp_path / "a"
    export(path, MemoryOptions(runs=1))
    ma.sign(path, ada.key)
    export(path, MemoryOptions(runs=2), append=True)
    ma.sign(path, ada.key)
    return path


def said(path: Path, options: SignatureOptions) -> list[tuple[str, str, str]]:
    """Return code, file and sentence of each problem."""
    with open_archive(path) as archive:
        return [
            (problem.code, problem.member, problem.message) for problem in check_signatures(archive, options).problems
        ]


def only(path: Path, options: SignatureOptions) -> tuple[str, str, str]:
    [problem] = said(path, options)
    return problem


def test_nothing_is_wrong(signed: Path, signers: Path) -> None:
    assert said(signed, SignatureOptions(signers=signers, required=True)) == []


def test_one_of_another_archive(signed: Path, signers: Path, ada: Signer) -> None:
    (signed.with_name("a.sig") / "0001-ada@bank.sig").write_bytes(sign_by_hand(ada, b"another"))
    code, file, message = only(signed, SignatureOptions(signers=signers))
    assert (code, file) == ("E103", "a.sig/0001-ada@bank.sig")
    assert message.startswith("it is no signature of this manifest: ssh-keygen says ")


def test_one_of_an_export_that_is_not_there(signed: Path, signers: Path) -> None:
    folder = signed.with_name("a.sig")
    shutil.copy(folder / "0002-ada@bank.sig", folder / "0003-ada@bank.sig")
    assert only(signed, SignatureOptions(signers=signers)) == (
        "E103",
        "a.sig/0003-ada@bank.sig",
        "the archive has no export 3, it ends with 2: it is of another archive",
    )


def test_one_of_another_export(signed: Path, signers: Path) -> None:
    folder = signed.with_name("a.sig")
    (folder / "0001-ada@bank.sig").replace(folder / "0002-ada@bank.sig")
    assert [problem[:2] for problem in said(signed, SignatureOptions(signers=signers, required=True))] == [
        ("E103", "a.sig/0002-ada@bank.sig"),
        ("E101", "a.sig"),
    ]


def test_one_for_another_purpose(signed: Path, signers: Path, ada: Signer) -> None:
    with open_archive(signed) as archive:
        data = manifest_bytes(archive, 1)
    (signed.with_name("a.sig") / "0001-ada@bank.sig").write_bytes(sign_by_hand(ada, data, namespace="git"))
    code, _, message = only(signed, SignatureOptions(signers=signers))
    assert (code, message) == ("E103", "it was made for 'git', not for 'mlflow-archive'")


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("ada@bank", "", None),
        ("*@bank", "", None),
        ("eve@bank", "", "E104"),
        ("ada@bank", 'namespaces="git"', "E104"),
        ("ada@bank", 'namespaces="git,mlflow-archive"', None),
        ("ada@bank", 'valid-before="20200101"', "E105"),
        ("ada@bank", 'valid-after="20990101"', "E105"),
        ("ada@bank", 'valid-after="20200101",valid-before="20990101"', None),
    ],
)
def test_who_is_allowed(signed: Path, ada: Signer, name: str, options: str, code: str | None) -> None:
    listed = allowed(signed.with_name("list"), Signer(name=name, key=ada.key), options=options)
    problems = said(signed, SignatureOptions(signers=listed, required=True))
    files = ["a.sig/0001-ada@bank.sig", "a.sig/0002-ada@bank.sig"]
    expected = [] if code is None else [*((code, file) for file in files), ("E101", "a.sig")]
    assert [problem[:2] for problem in problems] == expected
    sentences = {
        "E104": f"{listed} does not allow this key to ada@bank: ssh-keygen says ",
        "E105": "the key of ada@bank was not valid at that time: ssh-keygen says ",
    }
    assert all(message.startswith(sentences[code]) for code, _, message in problems if code in sentences)


def test_a_file_under_another_name_is_not_that_persons(signed: Path, ada: Signer, bob: Signer) -> None:
    folder = signed.with_name("a.sig")
    (folder / "0002-ada@bank.sig").replace(folder / "0002-bob@bank.sig")
    both = allowed(signed.with_name("list"), ada, bob)
    assert [problem[:2] for problem in said(signed, SignatureOptions(signers=both))] == [
        ("E104", "a.sig/0002-bob@bank.sig"),
        ("W101", "a.sig"),
    ]


def test_damaged_files_and_strays(signed: Path, signers: Path) -> None:
    folder = signed.with_name("a.sig")
    (folder / "0001-ada@bank.sig").write_bytes(b"text")
    (folder / "0002-ada@bank.sig.tmp").write_bytes(b"")
    problems = said(signed, SignatureOptions(signers=signers))
    assert [problem[:2] for problem in problems] == [
        ("E102", "a.sig/0001-ada@bank.sig"),
        ("W102", "a.sig/0002-ada@bank.sig.tmp"),
    ]


def forge(path: Path, change: str) -> None:
    """Make the newest manifest state another thing of the first export, every hash right."""
    document = json.loads((path / "manifest.json").read_bytes())
    member = next(member for member in document["members"] if member["path"].startswith("tables/runs/0001"))
    if change == "other":
        member["sha256"] = "0" * 64
    elif change == "gone":
        document["members"].remove(member)
    else:
        document["exports"][0]["created_ms"] += 1
    data = canonical_json(document)
    (path / "manifest.json").write_bytes(data)
    (path / "manifests" / "0002.json").write_bytes(data)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("other", "tables/runs/0001-00000.parquet was signed and is another one now"),
        ("gone", "tables/runs/0001-00000.parquet was signed and is gone"),
        ("export", "what the archive states of its exports was signed and is another now"),
    ],
)
def test_a_signed_export_cannot_be_changed_by_a_later_one(
    signed: Path, signers: Path, change: str, reason: str
) -> None:
    (signed.with_name("a.sig") / "0002-ada@bank.sig").unlink()
    forge(signed, change)
    assert [problem[0] for problem in said(signed, SignatureOptions(signers=signers))] == ["E106", "W101"]
    with open_archive(signed) as archive:
        assert changed_since(archive, 1, manifest_bytes(archive, 1)) == reason
        assert said(signed, SignatureOptions(signers=signers))[0][2] == (
            f"export 1 is not what was signed: E012: {reason}"
        )


def test_a_manifest_of_an_older_export_that_was_replaced(signed: Path, signers: Path) -> None:
    (signed / "manifests" / "0001.json").write_bytes((signed / "manifests" / "0002.json").read_bytes())
    assert only(signed, SignatureOptions(signers=signers))[::2] == (
        "E106",
        "export 1 is not what was signed: E012: manifests/0001.json is not there as it was committed",
    )


def test_the_good_one_of_two_manifests_counts(signed: Path, signers: Path) -> None:
    (signed / "manifest.json").write_bytes(b"{}")
    assert said(signed, SignatureOptions(signers=signers, required=True)) == []


def test_damage_of_the_archive_comes_first(cli: Command, signed: Path, signers: Path) -> None:
    pack = next(signed.glob("tables/runs/0001-*"))
    pack.write_bytes(pack.read_bytes()[:-1] + b"x")
    ran = cli("verify", signed, "--signers", signers, "--json", "-q")
    assert ran.code == 12
    document = json.loads(ran.out)
    assert (document["ok"], document["signatures"]["ok"]) == (False, True)


def test_without_a_list_nothing_is_accepted_and_nothing_refused(signed: Path) -> None:
    with open_archive(signed) as archive:
        report = check_signatures(archive, SignatureOptions())
    assert [(record.export, record.signer, record.accepted) for record in report.records] == [
        (1, "ada@bank", None),
        (2, "ada@bank", None),
    ]
    assert (report.ok, report.newest_signed, report.problems) == (True, False, [])


def test_the_report_shows_signers(cli: Command, signed: Path, signers: Path, bob: Signer) -> None:
    page = signed.with_name("r.html")
    assert cli("report", signed, "-o", page, "-q").code == 0
    assert page.read_text().count("<td>not checked against allowed signers</td>") == 2
    assert cli("report", signed, "-o", page, "-q", "--signers", signers).code == 0
    text = page.read_text()
    assert text.count("<td>ada@bank</td>") == 2
    assert text.count("<td>accepted</td>") == 2
    assert "What is signed is accepted, and covers all of the archive." in text
    other = allowed(signed.with_name("list"), bob)
    assert cli("report", signed, "-o", page, "-q", "--signers", other).code == 14
    text = page.read_text()
    assert "Signatures are not accepted." in text
    assert text.count("<td>NOT ACCEPTED</td>") == 2
    assert text.count("<td>E104</td>") == 2
    (signed / "README.txt").write_text("")
    assert cli("report", signed, "-o", page, "-q", "--signers", other).code == 12
