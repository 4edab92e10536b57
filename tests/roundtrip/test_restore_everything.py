"""The law of restoring for every kind of object, files included, and MLflow itself on what was restored."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.sinks.restore.locations import safe_name
from mlflow_archive.verification.checks import verify
from tests.support.databases import TABLES_HERE, PostgresServer
from tests.support.full_database import ATTACHMENT, SECRETS, Everything, make_everything
from tests.support.mlflow_server import running_server
from tests.support.restoring import content, export, restore
from tests.support.tracking_uri import tracking_to

MakeUri = Callable[[], str]


@pytest.fixture(scope="module")
def uris(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> dict[str, MakeUri]:
    folder = tmp_path_factory.mktemp("databases")
    numbers = iter(range(100))
    return {"sqlite": lambda: f"sqlite:///{folder / f'{next(numbers)}.db'}", "postgresql": postgres.new_database}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def everything(
    request: pytest.FixtureRequest, uris: dict[str, MakeUri], tmp_path_factory: pytest.TempPathFactory
) -> Everything:
    return make_everything(uris[request.param](), tmp_path_factory.mktemp(request.param) / "artifacts")


@pytest.fixture(scope="module")
def archive(everything: Everything) -> Path:
    return export(everything.uri, everything.folder.parent / "a.mlfa")


@contextmanager
def gone(folder: Path) -> Iterator[None]:
    """Move a folder away: nothing may still be read from there."""
    away = folder.with_name("away")
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)


def test_the_database_has_every_kind_and_the_archive_is_sound(archive: Path) -> None:
    with open_archive(archive) as opened:
        assert [name for name in TABLES_HERE if not opened.table(name).num_rows] == ["gaps"]
        for name in TABLES:
            text = repr(opened.table(name).to_pylist())
            assert not [secret for secret in SECRETS if secret in text], name
    assert verify(archive).problems == []


def test_files_of_models_traces_and_versions_come_along(everything: Everything, archive: Path) -> None:
    ids = everything.ids
    with open_archive(archive) as opened:
        found: dict[tuple[str, str], set[str]] = {}
        for row in opened.table("artifacts").to_pylist():
            found.setdefault((row["owner_kind"], row["owner_id"]), set()).add(row["path"])
    model = {"MLmodel", "conda.yaml", "double.py", "python_env.yaml", "requirements.txt"}
    assert {key: value for key, value in found.items() if key[0] != "run"} == {
        ("logged_model", ids["model"]): model,
        ("logged_model", ids["runless"]): model,
        ("logged_model", ids["deleted"]): model,
        ("trace", ids["in database"]): {f"attachments/{ATTACHMENT}"},
        ("trace", ids["in file"]): {"traces.json"},
        ("trace", ids["archived"]): {"traces.pb"},
        # Only versions whose files lie in no run and no logged model, and each time anew: 5 is a copy of 4.
        ("registered_model", ids["name"]): {f"{version}/{path}" for version in (4, 5) for path in model},
        ("registered_model", f"team/{ids['name']}"): {f"1/{path}" for path in model},
    }


@pytest.mark.parametrize("second", ["sqlite", "postgresql"])
def test_every_row_and_every_byte_comes_back_at_a_new_root(
    second: str, everything: Everything, archive: Path, uris: dict[str, MakeUri], tmp_path: Path
) -> None:
    target = uris[second]()
    assert restore(archive, target, artifact_root=str(tmp_path / "root")).complete
    with gone(everything.folder):
        again = export(target, tmp_path / "b.mlfa")
    assert content(again, moved=True) == content(archive, moved=True)
    assert verify(again).problems == []


@pytest.mark.parametrize("second", ["sqlite", "postgresql"])
def test_with_their_locations_kept_all_is_exactly_equal(
    second: str, archive: Path, uris: dict[str, MakeUri], tmp_path: Path
) -> None:
    target = uris[second]()
    restore(archive, target)
    assert content(export(target, tmp_path / "b.mlfa")) == content(archive)


def test_locations_are_as_mlflow_lays_them_out(
    everything: Everything, archive: Path, uris: dict[str, MakeUri], tmp_path: Path
) -> None:
    ids, root = everything.ids, tmp_path / "root"
    target = uris["sqlite"]()
    restore(archive, target, artifact_root=str(root))
    with open_archive(export(target, tmp_path / "b.mlfa")) as opened:
        models = {r["model_id"]: r["artifact_location"] for r in opened.table("logged_models").to_pylist()}
        tags = {(r["trace_id"], r["key"]): r["value"] for r in opened.table("trace_tags").to_pylist()}
        versions = {
            (r["workspace"], r["name"], r["version"]): (r["source"], r["storage_location"])
            for r in opened.table("model_versions").to_pylist()
        }
        datasets = opened.table("datasets")["source"].to_pylist()
    model = f"{root}/1/models/{ids['model']}/artifacts"
    assert models[ids["model"]] == model
    folder = f"{root}/1/traces/{ids['archived']}/artifacts"
    assert tags[ids["archived"], "mlflow.artifactLocation"] == folder
    assert tags[ids["archived"], "mlflow.trace.archiveLocation"] == folder
    name = ids["name"]
    own = f"{root}/models/{safe_name(name)}"
    old_style = f"runs:/{ids['other run']}/old-style"
    runless = f"{root}/1/models/{ids['runless']}/artifacts"
    in_run = f"{root}/1/{ids['other run']}/artifacts/old-style"
    assert versions == {
        ("default", name, 1): (f"models:/{ids['model']}", model),
        ("default", name, 2): (runless, runless),
        ("default", name, 3): (old_style, old_style),
        ("default", name, 4): (f"{own}/4", f"{own}/4"),
        ("default", name, 5): (f"models:/{name}/4", f"{own}/5"),
        ("default", name, 6): (in_run, in_run),
        ("default", name, 7): ("REDACTED-SOURCE-PATH", f"{everything.folder}/registry/own"),
        ("default", "prompt", 1): ("dummy-source", "dummy-source"),
        ("team", name, 1): (f"{root}/models/{safe_name(f'team/{name}')}/1", None),
    }
    assert datasets == ['{"uri": "/old/place/iris.csv"}']


@pytest.mark.parametrize(
    ("kind", "root"), [("sqlite", None), ("postgresql", "mlflow-artifacts:/")], ids=["folder", "proxied"]
)
def test_mlflow_serves_models_and_traces_from_what_was_restored(
    kind: str, root: str | None, everything: Everything, archive: Path, uris: dict[str, MakeUri], tmp_path: Path
) -> None:
    import mlflow  # noqa: PLC0415 - takes seconds

    ids, uri, place = everything.ids, uris[kind](), tmp_path / "artifacts"
    restore(archive, uri, artifact_root=root or str(place), artifacts_destination=str(place) if root else None)
    backend = uri.replace("postgresql://", "postgresql+psycopg2://")
    with (
        gone(everything.folder),
        running_server(
            tmp_path / "server", backend=backend, artifacts=place, options=("--enable-workspaces",)
        ) as server,
        tracking_to(server.uri),
    ):
        for source in (
            *(f"models:/{ids['name']}/{version}" for version in range(1, 7)),
            f"models:/{ids['name']}@champion",
            f"models:/{ids['model']}",
            f"runs:/{ids['run']}/model",
            f"runs:/{ids['other run']}/old-style",
        ):
            assert mlflow.pyfunc.load_model(source).predict([1, 2]) == [2, 4], source
        _check_traces(mlflow.MlflowClient(server.uri), server.uri, ids)


def _check_traces(client: Any, uri: str, ids: dict[str, str]) -> None:
    for name in ("in database", "in file", "archived", "plain"):
        trace = client.get_trace(ids[name])
        assert [span.name for span in trace.data.spans] == ["span 0", "span 1", "span 2"], name
        assert trace.data.spans[2].inputs == {"q": "ü"}
        assert trace.data.spans[1].parent_id == trace.data.spans[0].span_id
        assert trace.data.spans[0].start_time_ns % 1_000_000 == 123
        assert {each.name for each in trace.info.assessments} == {"good", "answer"}
    query = f"{uri}/ajax-api/2.0/mlflow/get-trace-artifact?request_id={ids['in database']}&path={ATTACHMENT}"
    with urllib.request.urlopen(query) as answer:  # noqa: S310 - our own server
        assert answer.read() == b"\x89PNG attached"


def test_a_proxied_source_is_read_from_behind_its_server(uris: dict[str, MakeUri], tmp_path: Path) -> None:
    everything = make_everything(uris["sqlite"](), tmp_path / "behind", root="mlflow-artifacts:/")
    archive = export(everything.uri, tmp_path / "a.mlfa", artifacts_destination=str(everything.folder))
    target = uris["sqlite"]()
    restore(archive, target, artifact_root=str(tmp_path / "root"))
    shutil.rmtree(everything.folder)
    assert content(export(target, tmp_path / "b.mlfa"), moved=True) == content(archive, moved=True)
    with open_archive(archive) as opened:
        assert opened.table("gaps").num_rows == 0
        assert {row["owner_kind"] for row in opened.table("artifacts").to_pylist()} == {
            "run",
            "logged_model",
            "trace",
            "registered_model",
        }
