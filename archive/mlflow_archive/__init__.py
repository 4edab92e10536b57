"""mlflow-archive: an MLflow tracking server as one offline archive, and back.

    import mlflow_archive as ma

    ma.export("backup.mlfa", "http://127.0.0.1:5000")
    with ma.open("backup.mlfa") as a:
        a.runs.to_pandas()
        a.search_runs(filter_string="metrics.loss < 0.1")
    ma.import_archive("backup.mlfa", "http://127.0.0.1:5001", options=ma.ImportOptions(experiment_prefix="old/"))

What a name needs is imported when it is first used. The verbs are those of the command; as Python keeps the word
``import`` for itself, that one is ``import_archive``.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_archive.api.compacting import Keep, compact
    from mlflow_archive.api.deltas import index, join
    from mlflow_archive.api.diffing import Diff, diff
    from mlflow_archive.api.open_archive import OpenArchive
    from mlflow_archive.api.open_archive import OpenArchive as open  # noqa: A004, N813 - ma.open, as pandas says it
    from mlflow_archive.api.packing import pack, unpack
    from mlflow_archive.api.redacting import redact
    from mlflow_archive.api.repairing import repair
    from mlflow_archive.api.replaying import ImportOptions
    from mlflow_archive.api.retiring import RetireOptions, retire
    from mlflow_archive.api.scanning import scan
    from mlflow_archive.api.signing import sign
    from mlflow_archive.api.undoing import undo
    from mlflow_archive.api.verbs import ExportOptions, copy, export, import_archive, restore, serve
    from mlflow_archive.errors import MlflowArchiveError
    from mlflow_archive.flow.report import Report
    from mlflow_archive.packing.pack import PackOptions
    from mlflow_archive.repairing.repair import RepairReport
    from mlflow_archive.scanning.report import ScanReport
    from mlflow_archive.selecting.selection import Selection
    from mlflow_archive.sinks.restore import RestoreOptions
    from mlflow_archive.verification.checks import verify

__version__ = "0.1.0"

__all__ = [
    "Diff",
    "ExportOptions",
    "ImportOptions",
    "Keep",
    "MlflowArchiveError",
    "OpenArchive",
    "PackOptions",
    "RepairReport",
    "Report",
    "RestoreOptions",
    "RetireOptions",
    "ScanReport",
    "Selection",
    "compact",
    "copy",
    "diff",
    "export",
    "import_archive",
    "index",
    "join",
    "open",
    "pack",
    "redact",
    "repair",
    "restore",
    "retire",
    "scan",
    "serve",
    "sign",
    "undo",
    "unpack",
    "verify",
]

_PLACES = {
    "Diff": ("api.diffing", "Diff"),
    "ExportOptions": ("api.verbs", "ExportOptions"),
    "ImportOptions": ("api.replaying", "ImportOptions"),
    "Keep": ("api.compacting", "Keep"),
    "MlflowArchiveError": ("errors", "MlflowArchiveError"),
    "OpenArchive": ("api.open_archive", "OpenArchive"),
    "PackOptions": ("packing.pack", "PackOptions"),
    "RepairReport": ("repairing.repair", "RepairReport"),
    "Report": ("flow.report", "Report"),
    "RestoreOptions": ("sinks.restore", "RestoreOptions"),
    "RetireOptions": ("api.retiring", "RetireOptions"),
    "ScanReport": ("scanning.report", "ScanReport"),
    "Selection": ("selecting.selection", "Selection"),
    "compact": ("api.compacting", "compact"),
    "copy": ("api.verbs", "copy"),
    "diff": ("api.diffing", "diff"),
    "export": ("api.verbs", "export"),
    "import_archive": ("api.verbs", "import_archive"),
    "index": ("api.deltas", "index"),
    "join": ("api.deltas", "join"),
    "open": ("api.open_archive", "OpenArchive"),
    "pack": ("api.packing", "pack"),
    "redact": ("api.redacting", "redact"),
    "repair": ("api.repairing", "repair"),
    "restore": ("api.verbs", "restore"),
    "retire": ("api.retiring", "retire"),
    "scan": ("api.scanning", "scan"),
    "serve": ("api.verbs", "serve"),
    "sign": ("api.signing", "sign"),
    "undo": ("api.undoing", "undo"),
    "unpack": ("api.packing", "unpack"),
    "verify": ("verification.checks", "verify"),
}


_DEPRECATED = {"ReplayOptions": "ImportOptions", "replay": "import_archive"}
"""What a name was called before the command and Python had one word for it."""


def __getattr__(name: str) -> Any:
    if name in _DEPRECATED:
        now = _DEPRECATED[name]
        warnings.warn(f"{__name__}.{name} is now called {now}", DeprecationWarning, stacklevel=2)
        name = now
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
