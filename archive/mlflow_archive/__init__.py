"""mlflow-archive: an MLflow tracking server as one offline archive, and back.

    import mlflow_archive as ma

    ma.export("backup.mlfa", "http://127.0.0.1:5000")
    with ma.open("backup.mlfa") as a:
        a.runs.to_pandas()
        a.search_runs(filter_string="metrics.loss < 0.1")
    ma.replay("backup.mlfa", "http://127.0.0.1:5001", options=ma.ReplayOptions(experiment_prefix="old/"))

What a name needs is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_archive.api.diffing import Diff, diff
    from mlflow_archive.api.open_archive import OpenArchive
    from mlflow_archive.api.open_archive import OpenArchive as open  # noqa: A004, N813 - ma.open, as pandas says it
    from mlflow_archive.api.packing import pack, unpack
    from mlflow_archive.api.repairing import repair
    from mlflow_archive.api.signing import sign
    from mlflow_archive.api.verbs import ExportOptions, copy, export, replay, restore, serve
    from mlflow_archive.errors import MlflowArchiveError
    from mlflow_archive.flow.report import Report
    from mlflow_archive.packing.pack import PackOptions
    from mlflow_archive.repairing.repair import RepairReport
    from mlflow_archive.selecting.selection import Selection
    from mlflow_archive.sinks.replay import ReplayOptions
    from mlflow_archive.sinks.restore import RestoreOptions
    from mlflow_archive.verification.checks import verify

__version__ = "0.1.0"

__all__ = [
    "Diff",
    "ExportOptions",
    "MlflowArchiveError",
    "OpenArchive",
    "PackOptions",
    "RepairReport",
    "ReplayOptions",
    "Report",
    "RestoreOptions",
    "Selection",
    "copy",
    "diff",
    "export",
    "open",
    "pack",
    "repair",
    "replay",
    "restore",
    "serve",
    "sign",
    "unpack",
    "verify",
]

_PLACES = {
    "Diff": ("api.diffing", "Diff"),
    "ExportOptions": ("api.verbs", "ExportOptions"),
    "MlflowArchiveError": ("errors", "MlflowArchiveError"),
    "OpenArchive": ("api.open_archive", "OpenArchive"),
    "PackOptions": ("packing.pack", "PackOptions"),
    "ReplayOptions": ("sinks.replay", "ReplayOptions"),
    "RepairReport": ("repairing.repair", "RepairReport"),
    "Report": ("flow.report", "Report"),
    "RestoreOptions": ("sinks.restore", "RestoreOptions"),
    "Selection": ("selecting.selection", "Selection"),
    "copy": ("api.verbs", "copy"),
    "diff": ("api.diffing", "diff"),
    "export": ("api.verbs", "export"),
    "open": ("api.open_archive", "OpenArchive"),
    "pack": ("api.packing", "pack"),
    "repair": ("api.repairing", "repair"),
    "replay": ("api.verbs", "replay"),
    "restore": ("api.verbs", "restore"),
    "serve": ("api.verbs", "serve"),
    "sign": ("api.signing", "sign"),
    "unpack": ("api.packing", "unpack"),
    "verify": ("verification.checks", "verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
