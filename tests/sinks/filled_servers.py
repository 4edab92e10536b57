"""A server with one of everything, its archive, and a second server that the archive was replayed into.

The archive is imported three times: into the empty server; when the gateway's secret has been entered there again;
and once more, which must change nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import locate_replay
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.support.everything import Filled, filled_server
from tests.support.filling.http import Http
from tests.support.mlflow_server import MlflowServer, running_server

ICON = "https://127.0.0.1/icon.png"
"""What the source may name, as it allows private addresses, and the target may not."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Both:
    """Source and target. ``reports`` are those of the imports, ``ids`` source to target id of a kind, at the end."""

    source: Http
    target: Http
    filled: Filled
    archive: Path
    target_server: MlflowServer
    reports: tuple[Report, Report, Report]

    def ids(self, kind: str) -> Mapping[str, str]:
        last = self.reports[-1].details
        found: Any = last[f"{kind}s"] if kind in ("run", "experiment") else last["ids"][kind]  # type: ignore[index]
        assert all(found.values())
        return dict(found)

    def outcomes(self, number: int, kind: str) -> dict[str, int]:
        done: Any = self.reports[number].details["outcomes"]
        return {what: count for what, count in done[kind].items() if count}

    def refusals(self, number: int, kind: str) -> list[tuple[str, str, str]]:
        return [(gap.code, gap.path, gap.reason) for gap in self.reports[number].gaps if gap.owner_kind == kind]

    @property
    def main(self) -> tuple[str, str]:
        """The id of the experiment ``main`` in source and target."""
        source = self.filled.runs.experiments["main"]
        return source, self.ids("experiment")[source]


def get(server: Http, path: str, **params: str) -> Any:
    """GET ``/api/3.0/mlflow/…``."""
    query = "&".join(f"{name}={value}" for name, value in params.items())
    return server.send("GET", f"3.0/mlflow/{path}?{query}")


def replay(archive: Path, uri: str, **options: Any) -> Report:
    with open_archive(archive) as opened:
        return copy(ArchiveSource(opened), locate_replay(uri, opened, options=ReplayOptions(**options)), jobs=2)


def export(uri: str, archive: Path, **options: Any) -> None:
    copy(locate_source(uri, **options), ArchiveSink(archive, tool="test 1", clock_ms=lambda: int(time.time() * 1000)))


@contextmanager
def both_servers(folder: Path) -> Iterator[Both]:
    """Fill, export and import three times; the servers run until the end."""
    allowed = {"MLFLOW_ICON_URL_ALLOW_PRIVATE_IPS": "true"}
    with ExitStack() as stack:
        source, filled = stack.enter_context(filled_server(folder / "source", environment=allowed))
        target = stack.enter_context(running_server(folder / "target"))
        http = Http(uri=source.uri)
        add_odd_objects(http, filled)
        archive = folder / "archive.mlfa"
        export(source.backend, archive, artifacts_destination=str(source.artifacts))
        there = Http(uri=target.uri)
        first = replay(archive, target.uri)
        _enter_secret(there)
        _make_traces(there, http, filled, first)
        reports = (first, replay(archive, target.uri), replay(archive, target.uri))
        yield Both(source=http, target=there, filled=filled, archive=archive, target_server=target, reports=reports)


def _enter_secret(target: Http) -> None:
    secret = {"secret_name": "key", "secret_value": {"api_key": "another"}, "provider": "openai"}
    target.post("3.0/mlflow/gateway/secrets/create", **secret)


def _make_traces(target: Http, source: Http, filled: Filled, first: Report) -> None:
    """Make sure that the traces are there which review queues name."""
    experiments: Any = first.details["experiments"]
    main = filled.runs.experiments["main"]
    for trace_id in (filled.traces.traces[name] for name in ("agent", "linked", "failed")):
        if target.send("POST", "3.0/mlflow/traces/batchGetInfos", {"trace_ids": [trace_id]}).get("trace_infos"):
            continue
        info = source.send("GET", f"3.0/mlflow/traces/{trace_id}")["trace"]["trace_info"]
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiments[main]}}
        kept = {name: info[name] for name in ("trace_id", "request_time", "state")}
        target.post("3.0/mlflow/traces", trace={"trace_info": {**kept, "trace_location": place}})


def add_odd_objects(http: Http, filled: Filled) -> None:
    """Add what makes trouble: gaps in numbers, objects that are equal, what MLflow makes itself."""
    main = filled.runs.experiments["main"]
    for number in range(1, 5):
        text = json.dumps({"name": "gappy", "description": f"{number} ü"}, ensure_ascii=False)
        http.post("3.0/mlflow/scorers/register", experiment_id=main, name="gappy", serialized_scorer=text)
    for number in (1, 3):
        http.send("DELETE", "3.0/mlflow/scorers/delete", {"experiment_id": main, "name": "gappy", "version": number})
    for _ in range(2):
        http.post("3.0/mlflow/issues", experiment_id=main, name="Twin", description="Same.", created_by="ada")
    listed = get(http, "label-schemas/list", experiment_id=main, max_results="100")["label_schemas"]
    default = next(schema["schema_id"] for schema in listed if schema["is_default"])
    queue = {"name": "Default question", "queue_type": "CUSTOM", "schema_ids": [default]}
    http.post("3.0/mlflow/review-queues/create", experiment_id=main, **queue)
    _more_mcp(http)


def _more_mcp(http: Http) -> None:
    name = "io.example/full"
    at = "3.0/mlflow/mcp-servers"
    http.post(at, name=name, description="About ü.", icons=[{"src": ICON, "mimeType": "image/png"}])
    http.send("PATCH", f"{at}/{name}", {"display_name": "Full ü"})
    for version, status, extra in (
        ("1.0.0", "active", {"tools": [], "source": "https://example.com/git"}),
        ("1.1.0", "active", {"connect_options": {"remote:0": {"hidden": True}}}),
        ("2.0.0-beta.1", "draft", {"tools": [{"name": "do", "title": "Do ü", "annotations": {"a": [1, None]}}]}),
        ("3.0.0", "draft", {}),
        ("4.0.0", "draft", {}),
    ):
        described = {"name": name, "version": version, "title": "T", "_meta": {"x": {"y": [1.5, None]}}, "other": 1}
        if version == "4.0.0":
            described["icons"] = [{"src": ICON}]
        http.post(f"{at}/{name}/versions", server_json=described, status=status, **extra)
    http.send("PATCH", f"{at}/{name}/versions/1.1.0", {"status": "deprecated"})
    http.post(f"{at}/{name}/versions/1.1.0/tags", key="why", value="old ü")
    http.send("DELETE", f"{at}/{name}/versions/3.0.0")
    http.post(f"{at}/{name}/endpoints", url="https://example.com/latest", server_alias="latest", transport_type="sse")
