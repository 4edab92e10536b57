"""A file that a command writes appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlflow_archive_cli.output import whole_file, write_json
from tests.cli.conftest import Command


def test_a_file_that_is_cut_short_never_has_its_name(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("earlier")

    def cut() -> None:
        with whole_file(file) as part:
            part.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        cut()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert file.read_text() == "earlier"


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_json(tmp_path / "link.json", {"a": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == '{\n  "a": 1\n}\n'
    write_json(Path(os.devnull), {"a": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_a_report_that_fails_half_way_leaves_nothing(
    cli: Command, single_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow_archive_cli.commands.report as command  # noqa: PLC0415

    def broken(*_: object, **__: object) -> object:
        yield "<html>"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "report_html", broken)
    ran = cli("report", single_file, "-o", tmp_path / "r.html", "--verify", "no", "-q")
    assert (ran.code, "No space left" in ran.err) == (1, True)
    assert list(tmp_path.glob("*.html")) == []
    assert list(tmp_path.glob(".*")) == []
