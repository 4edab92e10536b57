"""Databases: files of logged models, traces and model versions, what of them is missing, and what has not changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.flow.chunk import Known, nothing_known
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.mlflow_database.mapping import TableMap
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database.artifacts import ASKED_ALONE
from mlflow_archive.sources.database.reading import Reading
from mlflow_archive.sources.locate import locate_source
from tests.support.full_database import ATTACHMENT, Everything, make_everything
from tests.support.reading import Read, content, read_source


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    folder = tmp_path_factory.mktemp("original")
    return make_everything(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy of the database and of its files, which may be changed."""

    database: Path
    folder: Path
    original: Everything

    @property
    def ids(self) -> dict[str, str]:
        return self.original.ids

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def read(self, selection: Selection | None = None, known: Known = nothing_known, **options: Any) -> Read:
        options = options or {"artifact_map": [(str(self.original.folder), str(self.folder))]}
        return read_source(locate_source(f"sqlite:///{self.database}", **options), selection, known)

    def place(self, name: str) -> Path:
        """Return where the files of an object, or of the experiment, are in the copy."""
        uri = (
            self.ids[name]
            if name.endswith("uri")
            else f"{self.ids['experiment uri']}/traces/{self.ids[name]}/artifacts"
        )
        return self.folder / Path(uri).relative_to(self.original.folder)


@pytest.fixture
def copied(original: Everything, tmp_path: Path) -> Copy:
    shutil.copyfile(original.uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    shutil.copytree(original.folder, tmp_path / "artifacts")
    return Copy(database=tmp_path / "mlflow.db", folder=tmp_path / "artifacts", original=original)


def gaps_of(found: Read) -> set[tuple[str, str, str, str]]:
    return {(row["owner_kind"], row["owner_id"], row["path"], row["code"]) for row in found.tables["gaps"]}


def test_bytes_are_those_of_the_files(copied: Copy) -> None:
    found = copied.read()
    assert gaps_of(found) == set()
    files = {(file.owner_kind, file.owner_id, file.path): content(file) for file in found.artifacts}
    assert files[TRACE, copied.ids["in database"], f"attachments/{ATTACHMENT}"] == b"\x89PNG attached"
    model = copied.place("model uri") / "MLmodel"
    assert files[LOGGED_MODEL, copied.ids["model"], "MLmodel"] == model.read_bytes()
    assert (
        files[REGISTERED_MODEL, copied.ids["name"], "4/MLmodel"]
        == (copied.folder / "registry/own/MLmodel").read_bytes()
    )


class TestWhatIsMissing:
    """Each is a gap of the object that lacks it, and of no other; an object with a gap has no fingerprint."""

    @pytest.mark.parametrize(
        ("lost", "kind", "owner", "path"),
        [
            ("model uri", LOGGED_MODEL, "model", ""),
            ("in file", TRACE, "in file", "traces.json"),
            ("in database", TRACE, "in database", f"attachments/{ATTACHMENT}"),
            ("trace-archive", TRACE, "archived", "traces.pb"),
            ("registry/team", REGISTERED_MODEL, "team/name", "1"),
        ],
    )
    def test_files(self, lost: str, kind: str, owner: str, path: str, copied: Copy) -> None:
        place = copied.folder / lost if "/" in lost or "-" in lost else copied.place(lost)
        shutil.rmtree(place)
        found = copied.read()
        owner_id = f"team/{copied.ids['name']}" if owner == "team/name" else copied.ids[owner]
        expected = {(kind, owner_id, path, "G101")}
        if kind == LOGGED_MODEL:
            expected.add((REGISTERED_MODEL, copied.ids["name"], "1", "G101"))
        assert gaps_of(found) == expected
        assert owner_id not in {row["owner_id"] for row in found.tables["fingerprints"]}

    @pytest.mark.parametrize(
        ("root", "elsewhere"),
        [
            ("/home/of another/projects/mlruns/1", True),  # the machine of the author
            ("file:///C:/mlruns/1", True),
            ("/mlruns-of-a-container/1", True),
            ("{here}/mlruns/1", False),  # nothing was logged yet: MLflow makes the folders with the first file
            ("{here}/of one experiment", False),
            ("./mlruns/1", False),
        ],
    )
    def test_the_machine_with_the_files(self, root: str, elsewhere: bool, copied: Copy) -> None:
        """A run whose files cannot be there is told, one that may have none is not."""
        run_id = "5" * 32
        uri = f"{root.format(here=copied.folder)}/{run_id}/artifacts"
        columns = "run_uuid, name, status, start_time, lifecycle_stage, experiment_id, artifact_uri"
        copied.run(
            f"INSERT INTO runs({columns}) SELECT '{run_id}', 'r', 'FINISHED', 1, 'active', MIN(experiment_id), '{uri}' "  # noqa: S608
            "FROM experiments"
        )
        found = copied.read()
        assert gaps_of(found) == ({(RUN, run_id, "", "G105")} if elsewhere else set())
        assert all("--artifact-map" in row["reason"] for row in found.tables["gaps"])
        assert (run_id in {row["owner_id"] for row in found.tables["fingerprints"]}) is not elsewhere

    @pytest.mark.parametrize("name", ["in file", "archived"])
    def test_attachments_that_only_a_payload_names(self, name: str, copied: Copy) -> None:
        """MLflow keeps no rows of such spans: what they name is in traces.json or traces.pb."""
        trace_id, ours, other = copied.ids[name], "a" * 36, "b" * 36
        named = f"mlflow-attachment://{ours}?content_type=image%2Fpng&trace_id={trace_id}&size=1"
        elsewhere = f"mlflow-attachment://{other}?content_type=image%2Fpng&trace_id={copied.ids['plain']}&size=1"
        if name == "archived":
            [payload] = copied.folder.rglob("traces.pb")
            held = TracesData.FromString(payload.read_bytes())
            for text in (named, elsewhere):
                added = held.resource_spans[0].scope_spans[0].spans[0].attributes.add(key=text[20:30])
                added.value.string_value = json.dumps({"picture": text})
            payload.write_bytes(held.SerializeToString())
        else:
            payload = copied.place(name) / "traces.json"
            document = json.loads(payload.read_text())
            document["spans"][0]["attributes"] |= {"x": json.dumps({"picture": named}), "y": json.dumps(elsewhere)}
            payload.write_text(json.dumps(document))
        missing = {(TRACE, trace_id, f"attachments/{ours}", "G101")}
        found = copied.read()
        assert gaps_of(found) == missing
        assert trace_id not in {row["owner_id"] for row in found.tables["fingerprints"]}
        assert gaps_of(copied.read(Selection(artifacts=False))) == set()
        picture = copied.place(name) / "attachments" / ours
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(b"p")
        found = copied.read()
        assert gaps_of(found) == set()
        files = {(file.owner_id, file.path): content(file) for file in found.artifacts}
        assert files[trace_id, f"attachments/{ours}"] == b"p"
        if name == "archived":
            moved = f"UPDATE trace_tags SET value = 'gone://host' || value WHERE request_id = '{trace_id}'"  # noqa: S608
            copied.run(f"{moved} AND key = 'mlflow.artifactLocation'")
            assert gaps_of(copied.read()) == {(TRACE, trace_id, "", "G105")}, "nobody can say that it is lost"

    def test_files_of_a_version_in_a_run(self, copied: Copy) -> None:
        shutil.rmtree(copied.place("other run uri") / "old-style")
        name = copied.ids["name"]
        assert gaps_of(copied.read()) == {(REGISTERED_MODEL, name, version, "G101") for version in ("3", "6")}

    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            ("runs:/" + "0" * 32 + "/model", "the run " + "0" * 32 + " is not there"),
            ("models:/m-" + "0" * 32, "the logged model m-" + "0" * 32 + " is not there"),
            ("models:/Nobody/3", "models:/Nobody/3 is not there"),
            ("models:/Shop 1/4", "leads from version to version without end"),
            ("/etc", "where no model is"),
            ("file:///etc/", "where no model is"),
        ],
    )
    def test_a_source_that_leads_nowhere(self, source: str, problem: str, copied: Copy) -> None:
        copied.run(f"UPDATE model_versions SET source = '{source}', storage_location = NULL WHERE version = 4")  # noqa: S608
        reasons = {row["path"]: row["reason"] for row in copied.read().rows("gaps", owner_id=copied.ids["name"])}
        assert problem in reasons["4"]

    def test_a_source_that_leads_out_of_its_run(self, copied: Copy) -> None:
        """A version's source is what its maker says: it must not carry files of this machine into an archive."""
        ids = copied.ids
        source = f"runs:/{ids['run']}/../../../../../etc"
        escape = f"{ids['run uri']}/../../../../../../../../../../../../etc"
        elsewhere = f"UPDATE trace_tags SET value = '/etc' WHERE request_id = '{ids['plain']}'"  # noqa: S608
        copied.run(
            f"UPDATE model_versions SET source = '{source}', storage_location = NULL WHERE version = 4",  # noqa: S608
            f"UPDATE model_versions SET source = '{escape}', storage_location = NULL WHERE version = 5",  # noqa: S608
            f"{elsewhere} AND key = 'mlflow.artifactLocation'",
        )
        found = copied.read()
        assert {(REGISTERED_MODEL, ids["name"], version, "G101") for version in ("4", "5")} <= gaps_of(found)
        assert not [file.path for file in found.artifacts if "passwd" in file.path]

    def test_a_trace_without_spans_anywhere(self, copied: Copy) -> None:
        """One that is under way has none yet; one that ended must have some."""
        copied.run(
            "DELETE FROM spans", f"DELETE FROM trace_tags WHERE request_id = '{copied.ids['plain']}'",  # noqa: S608
            f"UPDATE trace_info SET status = 'OK' WHERE request_id = '{copied.ids['unfinished']}'",  # noqa: S608
        )  # fmt: skip
        traces = {(owner, path) for kind, owner, path, _ in gaps_of(copied.read()) if kind == TRACE}
        assert traces == {(copied.ids[name], "traces.json") for name in ("plain", "unfinished")}

    def test_out_of_reach(self, copied: Copy) -> None:
        """Whether a trace with its spans in the database lacks a file is told by its spans: they name attachments."""
        tags = "UPDATE trace_tags SET value = 'gone://host' || value WHERE key LIKE '%ocation' AND value LIKE '/%'"
        others = [
            f"UPDATE {table} SET {column} = 'gone://host' || {column}"  # noqa: S608
            for table, column in (("logged_models", "artifact_location"), ("runs", "artifact_uri"))
        ]
        copied.run(
            tags,
            *others,
            "UPDATE model_versions SET storage_location = NULL, source = 'gone://host/own' WHERE version = 4",
        )
        found = gaps_of(copied.read())
        ids = copied.ids
        assert {gap for gap in found if gap[0] == TRACE} == {
            (TRACE, ids["in database"], "", "G105"),
            (TRACE, ids["in file"], "", "G105"),
            (TRACE, ids["unfinished"], "", "G105"),
        }
        assert {(LOGGED_MODEL, ids["model"], "", "G105"), (LOGGED_MODEL, ids["pending"], "", "G105")} <= found
        assert (REGISTERED_MODEL, ids["name"], "4", "G105") in found
        assert {"plain", "archived"} <= {
            name for name in ids if ids[name] in {row["owner_id"] for row in copied.read().tables["fingerprints"]}
        }

    def test_nothing_is_looked_for_without_artifacts(self, copied: Copy) -> None:
        shutil.rmtree(copied.folder)
        copied.folder.mkdir()
        found = copied.read(Selection(artifacts=False))
        assert gaps_of(found) == set()
        assert len(found.rows("fingerprints", owner_kind=TRACE)) == 5


class TestUnchanged:
    def test_is_left_out_and_its_spans_are_not_read(self, copied: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
        first = copied.read()
        held = {(row["owner_kind"], row["owner_id"]): row["fingerprint"] for row in first.tables["fingerprints"]}
        assert {kind for kind, _ in held} == {RUN, LOGGED_MODEL, TRACE}
        copied.run(f"UPDATE trace_tags SET value = 'new' WHERE key = 'long' AND request_id = '{copied.ids['plain']}'")  # noqa: S608
        (copied.place("model uri") / "more.txt").write_bytes(b"more")
        copied.run(f"UPDATE logged_model_tags SET tag_value = 'new' WHERE model_id = '{copied.ids['pending']}'")  # noqa: S608
        read_of: list[str] = []
        real = Reading.batches

        def spying(self: Reading, each: TableMap, ids: Any, malformed: Any) -> Any:
            read_of.extend(ids if each.table == "spans" else ())
            return real(self, each, ids, malformed)

        monkeypatch.setattr(Reading, "batches", spying)
        again = copied.read(known=lambda kind, each: held.get((kind, each)))
        assert {row["trace_id"] for row in again.tables["traces"]} == {copied.ids["plain"]} == set(read_of)
        assert len(again.tables["spans"]) == 3
        assert {row["model_id"] for row in again.tables["logged_models"]} == {
            copied.ids[n] for n in ("model", "pending")
        }
        assert {row["model_id"] for row in again.tables["logged_model_params"]} == {
            copied.ids[name] for name in ("model", "pending")
        }
        assert "more.txt" in again.paths(copied.ids["model"])
        assert again.tables["runs"] == []

    def test_one_with_a_gap_comes_again(self, copied: Copy) -> None:
        shutil.rmtree(copied.place("in file"))
        found = copied.read()
        held = {(row["owner_kind"], row["owner_id"]): row["fingerprint"] for row in found.tables["fingerprints"]}
        again = copied.read(known=lambda kind, each: held.get((kind, each)))
        assert [row["trace_id"] for row in again.tables["traces"]] == [copied.ids["in file"]]


def test_many_spans_come_in_pieces(copied: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow_archive.sources.database.entities.BYTES_PER_CHUNK", 1)
    monkeypatch.setattr("mlflow_archive.sources.database.entities.SPANS_AT_ONCE", 3)
    found = copied.read()
    chunks = [chunk for chunk in found.chunks if "spans" in chunk.tables or "traces" in chunk.tables]
    assert [chunk.complete for chunk in chunks] == [False, False, True]
    assert "traces" in chunks[0].tables
    assert "fingerprints" in chunks[-1].tables
    assert len(found.tables["spans"]) == 9
    assert len(found.tables["fingerprints"]) == len({row["owner_id"] for row in found.tables["fingerprints"]}) == 12


def test_a_filter_of_artifacts_holds_for_all_owners(copied: Copy) -> None:
    found = copied.read(Selection(artifact_globs=("*MLmodel",)))
    assert {file.path for file in found.artifacts} == {
        "old-style/MLmodel",
        "MLmodel",
        "4/MLmodel",
        "5/MLmodel",
        "1/MLmodel",
    }
    assert gaps_of(found) == set()


class TestObjectStore:
    """Traces of an experiment are listed by their prefix, not one by one: a request for each takes too long."""

    def test_requests(
        self, copied: Copy, tmp_path: Path, counted: Callable[[], list[str]], s3: tuple[str, Any]
    ) -> None:
        root, client = s3
        _, _, bucket, prefix = root.split("/", 3)
        for file in copied.folder.rglob("*"):
            if file.is_file():
                key = f"{prefix}/{file.relative_to(copied.folder)}"
                client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
        many = ASKED_ALONE + 200
        rows = ", ".join(f"('tr-{n:032x}', 1, {n}, 1, 'OK', 0)" for n in range(1000, 1000 + many))
        tags = ", ".join(
            f"('mlflow.artifactLocation', '{copied.ids['experiment uri']}/traces/tr-{n:032x}/artifacts', 'tr-{n:032x}')"
            f", ('mlflow.trace.spansLocation', 'TRACKING_STORE', 'tr-{n:032x}')"
            for n in range(1000, 1000 + many)
        )
        copied.run(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, "  # noqa: S608
            f"db_payload_generation) VALUES {rows}",
            f"INSERT INTO trace_tags (key, value, request_id) VALUES {tags}",  # noqa: S608
        )
        local = copied.read()
        listed = counted()
        remote = copied.read(artifact_map=[(str(copied.original.folder), root)])
        assert gaps_of(remote) == set()
        assert {(f.owner_kind, f.owner_id, f.path, f.size) for f in remote.artifacts} == {
            (f.owner_kind, f.owner_id, f.path, f.size) for f in local.artifacts
        }
        traces = [prefix for prefix in listed if "/traces" in prefix]
        assert ASKED_ALONE <= len(traces) <= ASKED_ALONE + 4


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return what gives the list of all locations that are listed from then on."""

    def begin() -> list[str]:
        found: list[str] = []
        real = ArtifactRoots.list

        def listing(self: ArtifactRoots, uri: str, **owner: Any) -> Any:
            found.append(uri)
            return real(self, uri, **owner)

        monkeypatch.setattr(ArtifactRoots, "list", listing)
        return found

    return begin
