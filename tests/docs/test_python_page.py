"""What docs/python.md shows is run as it stands there: only servers are stores here, and nobody waits for pages."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pyrage
import pytest

import mlflow_archive as ma
from mlflow_archive.api.serving import server
from tests.support.churn import RUN, write_churn
from tests.support.signers import allowed, new_signer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
STORES = {"http://127.0.0.1:5000": "sqlite:///source.db", "http://127.0.0.1:5001": "sqlite:///target.db"}


def code() -> list[str]:
    """Return the blocks of code of the page."""
    blocks = re.findall(r"(?:^    .*\n)+(?:\n+(?:^    .*\n)+)*", PAGE.read_text("utf-8"), re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with what the page takes to be there."""
    monkeypatch.chdir(tmp_path)
    write_churn(tmp_path / "backup.mlfa")
    for name in ("monday.mlfa", "copy.mlfa"):
        shutil.copyfile("backup.mlfa", name)
    (tmp_path / "rules.toml").write_text("[[values]]\nkey = 'lr'\naction = 'pseudonym'\n")
    (tmp_path / "key").write_text("0123456789abcdef")
    (tmp_path / "names.csv").write_text("churn,churn-2024\n")
    write_churn(tmp_path / "tuesday.mlfa", rate="0.2")
    ma.restore("backup.mlfa", STORES["http://127.0.0.1:5000"], ma.RestoreOptions(artifact_root=str(tmp_path / "files")))
    return tmp_path


def _keys(folder: Path) -> dict[str, str]:
    """Return what the page calls keys, and what they are here; the list of signers and the identity are there, too."""
    ada = new_signer(folder / "keys", "ada@bank.example")
    allowed(folder / "allowed_signers", ada)
    identity = pyrage.x25519.Identity.generate()
    (folder / "key.txt").write_text(f"{identity}\n")
    return {"/home/ada/.ssh/id_ed25519": str(ada.key), "age1…": str(identity.to_public())}


def test_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(server, "serve", lambda archive, **options: served.append({"archive": archive, **options}))
    names: dict[str, Any] = {}
    reading, attaching, looking_back, finding, in_place, verbs = code()
    for block in (reading, attaching, looking_back, finding):
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert names["connection"].sql("select key, value from backup.latest_metrics").fetchall() == [("loss", 0.05)]
    assert names["run"].run_id == RUN
    assert names["a"].search_runs(filter_string="metrics.loss < 0.1")["run_id"].tolist() == [RUN]
    names["connection"].close()
    names["a"].close()
    exec(compile("import pandas\n" + in_place.replace("<run id>", RUN), str(PAGE), "exec"), names)  # noqa: S102
    for shown, here in (*STORES.items(), *_keys(folder).items()):
        assert shown in verbs
        verbs = verbs.replace(shown, here)
    exporting, rest = verbs.split("\n", 1)
    Path("backup.mlfa").unlink()
    exec(compile(exporting, str(PAGE), "exec"), names)  # noqa: S102
    assert names["report"].gaps == []
    exec(compile(rest, str(PAGE), "exec"), names)  # noqa: S102
    assert names["diff"].counts == {"added": 0, "removed": 0, "changed": 1}
    assert names["proof"].proved
    assert [(each["archive"], each["port"]) for each in served] == [("backup.mlfa", 5002)]
