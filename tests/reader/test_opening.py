"""Which manifest is taken when the newest cannot be read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from mlflow_archive.errors import FormatTooNewError
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.reader.archive import open_archive

TWO_EXPORTS = Path(__file__).parents[1] / "golden" / "v1-two-exports.mlfa"


@pytest.mark.parametrize("copy", ["equal", "missing"])
def test_an_older_export_does_not_hide_that_the_newest_is_too_new(tmp_path: Path, copy: str) -> None:
    with zipfile.ZipFile(TWO_EXPORTS) as archive:
        archive.extractall(tmp_path)
    document = json.loads((tmp_path / "manifest.json").read_bytes())
    document["required_features"] = ["something-newer"]
    (tmp_path / "manifest.json").write_bytes(canonical_json(document))
    if copy == "equal":
        (tmp_path / "manifests" / "0002.json").write_bytes(canonical_json(document))
    else:
        (tmp_path / "manifests" / "0002.json").unlink()

    with pytest.raises(FormatTooNewError, match="something-newer"):
        open_archive(tmp_path)
