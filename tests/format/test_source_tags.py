"""Source tags: the two worked examples of mlflow-export-import's document, and what it leaves open."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from mlflow_archive.format.source_tags import (
    EXPORTED,
    ExportFacts,
    beyond_the_export,
    experiment_source_tags,
    left_by_import,
    lineage_tags,
    object_source_tags,
    run_source_tags,
    shorten,
    shorten_key,
)

P = "mlflow_export_import."

OSS_HISTORY = json.dumps(
    [
        {
            "run_id": "f2e3f75c845d4365addbc9c0262a58a5",
            "artifact_path": "model",
            "utc_time_created": "2022-06-12 03:34:39.289551",
            "flavors": {
                "python_function": {
                    "model_path": "model.pkl",
                    "loader_module": "mlflow.sklearn",
                    "python_version": "3.7.6",
                    "env": "conda.yaml",
                },
                "sklearn": {
                    "pickled_model": "model.pkl",
                    "sklearn_version": "1.0.2",
                    "serialization_format": "cloudpickle",
                    "code": None,
                },
            },
            "model_uuid": "38c43fc59c734b0a80704ac3214ea2c3",
            "mlflow_version": "1.26.1",
        },
        {
            "run_id": "f2e3f75c845d4365addbc9c0262a58a5",
            "artifact_path": "onnx-model",
            "utc_time_created": "2022-06-12 03:34:42.110784",
            "flavors": {
                "python_function": {
                    "loader_module": "mlflow.onnx",
                    "python_version": "3.7.6",
                    "data": "model.onnx",
                    "env": "conda.yaml",
                },
                "onnx": {
                    "onnx_version": "1.10.2",
                    "data": "model.onnx",
                    "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
                    "code": None,
                },
            },
            "model_uuid": "ddf79625e4d241b7813e601f31b1222f",
            "mlflow_version": "1.26.1",
        },
    ]
)

OSS_RUN = {
    "run_id": "f2e3f75c845d4365addbc9c0262a58a5",
    "run_uuid": None,
    "run_name": None,
    "experiment_id": "2",
    "user_id": "andre",
    "status": "FINISHED",
    "start_time": 1655004878844,
    "end_time": 1655004883611,
    "lifecycle_stage": "active",
    "artifact_uri": "/opt/mlflow/server/mlruns/2/f2e3f75c845d4365addbc9c0262a58a5/artifacts",
}
OSS_TAGS = {
    "mlflow.log-model.history": OSS_HISTORY,
    "mlflow.runName": "train.sh",
    "mlflow.source.git.commit": "67fb8f823ec794902cdbb67be653a6155a0b5172",
    "mlflow.source.name": "/Users/andre/git/mlflow-examples/python/sklearn/wine_quality/train.py",
    "mlflow.source.type": "LOCAL",
    "mlflow.user": "andre",
    "mine": "not a system tag",
}
OSS_EXPECTED = {
    "mlflow_export_import.mlflow.log-model.history": OSS_HISTORY,
    "mlflow_export_import.mlflow.runName": "train.sh",
    "mlflow_export_import.mlflow.source.git.commit": "67fb8f823ec794902cdbb67be653a6155a0b5172",
    "mlflow_export_import.mlflow.source.name": "/Users/andre/git/mlflow-examples/python/sklearn/wine_quality/train.py",
    "mlflow_export_import.mlflow.source.type": "LOCAL",
    "mlflow_export_import.mlflow.user": "andre",
    "mlflow_export_import.run_info.artifact_uri": (
        "/opt/mlflow/server/mlruns/2/f2e3f75c845d4365addbc9c0262a58a5/artifacts"
    ),
    "mlflow_export_import.run_info.end_time": "1655004883611",
    "mlflow_export_import.run_info.experiment_id": "2",
    "mlflow_export_import.run_info.lifecycle_stage": "active",
    "mlflow_export_import.run_info.run_id": "f2e3f75c845d4365addbc9c0262a58a5",
    "mlflow_export_import.run_info.start_time": "1655004878844",
    "mlflow_export_import.run_info.status": "FINISHED",
    "mlflow_export_import.run_info.user_id": "andre",
    "mlflow_export_import.metadata.mlflow_version": "1.26.1",
    "mlflow_export_import.metadata.tracking_uri": "http://127.0.0.1:5020",
    "mlflow_export_import.metadata.experiment_name": "sklearn_wine",
    "mlflow_export_import.metadata.timestamp": "1655007510",
    "mlflow_export_import.metadata.timestamp_nice": "2022-06-12 04:18:30",
}

DATABRICKS_RUN = {
    "run_id": "826a19c33d8c461ebf91aa90c25a5dd8",
    "run_uuid": "826a19c33d8c461ebf91aa90c25a5dd8",
    "run_name": None,
    "experiment_id": "3532228",
    "user_id": "",
    "status": "FINISHED",
    "start_time": 1647395462575,
    "end_time": 1647395473410,
    "lifecycle_stage": "active",
    "artifact_uri": "dbfs:/databricks/mlflow/3532228/826a19c33d8c461ebf91aa90c25a5dd8/artifacts",
}
DATABRICKS_NOTEBOOK = "/Users/andre@mycompany.com/mlflow/02a_Sklearn_Train_Predict"
DATABRICKS_TAGS = {
    "mlflow.databricks.cluster.id": "0318-151752-abed99",
    "mlflow.databricks.cluster.info": (
        '{"cluster_name":"Shared Autoscaling Americas","spark_version":"10.2.x-cpu-ml-scala2.12",'
        '"node_type_id":"i3.2xlarge"}'
    ),
    "mlflow.databricks.cluster.libraries": '{"installable":[],"redacted":[]}',
    "mlflow.databricks.notebook.commandID": (
        "6101304639030907941_7207589773925520000_e458c0ed7c5c4e52b020b1b92d39b308"
    ),
    "mlflow.databricks.notebookID": "3532228",
    "mlflow.databricks.notebookPath": DATABRICKS_NOTEBOOK,
    "mlflow.databricks.notebookRevisionID": "1647395473565",
    "mlflow.databricks.webappURL": "https://demo.cloud.databricks.com",
    "mlflow.log-model.history": (
        '[{"artifact_path":"sklearn-model","signature":'
        '{"inputs":"[{\\"name\\": \\"fixed acidity\\", \\"type\\": \\"double\\"}]"}}]'
    ),
    "mlflow.runName": "sklearn",
    "mlflow.source.name": DATABRICKS_NOTEBOOK,
    "mlflow.source.type": "NOTEBOOK",
    "mlflow.user": "andre@mycompany.com",
}
DATABRICKS_EXPECTED = {
    **{f"mlflow_export_import.{key}": value for key, value in DATABRICKS_TAGS.items()},
    "mlflow_export_import.run_info.artifact_uri": (
        "dbfs:/databricks/mlflow/3532228/826a19c33d8c461ebf91aa90c25a5dd8/artifacts"
    ),
    "mlflow_export_import.run_info.end_time": "1647395473410",
    "mlflow_export_import.run_info.experiment_id": "3532228",
    "mlflow_export_import.run_info.lifecycle_stage": "active",
    "mlflow_export_import.run_info.run_id": "826a19c33d8c461ebf91aa90c25a5dd8",
    "mlflow_export_import.run_info.run_uuid": "826a19c33d8c461ebf91aa90c25a5dd8",
    "mlflow_export_import.run_info.start_time": "1647395462575",
    "mlflow_export_import.run_info.status": "FINISHED",
    "mlflow_export_import.run_info.user_id": "",
    "mlflow_export_import.metadata.mlflow_version": "1.26.1",
    "mlflow_export_import.metadata.tracking_uri": "databricks",
    "mlflow_export_import.metadata.experiment_name": DATABRICKS_NOTEBOOK,
    "mlflow_export_import.metadata.timestamp": "1655148303",
    "mlflow_export_import.metadata.timestamp_nice": "2022-06-13 19:25:03",
}


def test_open_source_example() -> None:
    export = ExportFacts(tracking_uri="http://127.0.0.1:5020", mlflow_version="1.26.1", exported_ms=1655007510000)
    assert run_source_tags(OSS_RUN, OSS_TAGS, experiment_name="sklearn_wine", export=export) == OSS_EXPECTED


def test_databricks_example() -> None:
    export = ExportFacts(tracking_uri="databricks", mlflow_version="1.26.1", exported_ms=1655148303999)
    found = run_source_tags(DATABRICKS_RUN, DATABRICKS_TAGS, experiment_name=DATABRICKS_NOTEBOOK, export=export)
    assert found == DATABRICKS_EXPECTED
    assert len(DATABRICKS_EXPECTED) == 13 + 9 + 5


def test_unknown_facts_give_no_tag() -> None:
    row = {**OSS_RUN, "end_time": None, "user_id": None, "run_name": "n"}
    found = run_source_tags(row, {}, experiment_name="e", export=ExportFacts(tracking_uri="file:///mlruns"))
    assert found.keys() == {
        *(
            f"{P}run_info.{name}"
            for name in ("run_id", "run_name", "experiment_id", "status", "start_time", "lifecycle_stage")
        ),
        f"{P}run_info.artifact_uri",
        f"{P}metadata.tracking_uri",
        f"{P}metadata.experiment_name",
    }


def test_experiment() -> None:
    row = {
        "experiment_id": "7",
        "name": "wine",
        "artifact_location": "s3://b/7",
        "lifecycle_stage": "deleted",
        "creation_time": 1600000000000,
        "last_update_time": None,
        "workspace": None,
    }
    export = ExportFacts(tracking_uri="http://h", exported_ms=1655007510000)
    assert experiment_source_tags(row, {"mlflow.note.content": "n", "x": "y"}, export=export) == {
        f"{P}experiment.experiment_id": "7",
        f"{P}experiment.name": "wine",
        f"{P}experiment.artifact_location": "s3://b/7",
        f"{P}experiment.lifecycle_stage": "deleted",
        f"{P}experiment.creation_time": "1600000000000",
        f"{P}mlflow.note.content": "n",
        f"{P}metadata.tracking_uri": "http://h",
        f"{P}metadata.experiment_name": "wine",
        f"{P}metadata.timestamp": "1655007510",
        f"{P}metadata.timestamp_nice": "2022-06-12 04:18:30",
    }


@pytest.mark.parametrize(
    ("left", "carried"),
    [
        pytest.param(f"{P}run_info.run_id", f"{P}lineage.1.run_info.run_id", id="first hop"),
        pytest.param(f"{P}lineage.1.run_info.run_id", f"{P}lineage.2.run_info.run_id", id="second hop"),
        pytest.param(f"{P}lineage.9.x", f"{P}lineage.10.x", id="ten hops"),
        pytest.param(f"{P}lineage.01.x", f"{P}lineage.1.lineage.01.x", id="not a number of ours"),
        pytest.param("mlflow_archive.source_run_id", f"{P}lineage.1.mlflow_archive.source_run_id", id="own"),
        pytest.param("mlflow_exim.run_info.run_id", f"{P}lineage.1.mlflow_exim.run_info.run_id", id="newer dialect"),
        pytest.param(f"{P}lineage.1.mlflow_exim.field.name", f"{P}lineage.2.mlflow_exim.field.name", id="its 2nd hop"),
    ],
)
def test_lineage(left: str, carried: str) -> None:
    assert lineage_tags({left: "v", "other": "w"}) == {carried: "v"}


def test_a_hop_never_overwrites_what_the_one_before_left() -> None:
    export = ExportFacts(tracking_uri="http://h", exported_ms=1)
    first = run_source_tags(OSS_RUN, OSS_TAGS, experiment_name="e", export=export)
    second = run_source_tags({**OSS_RUN, "run_id": "b" * 32}, first, experiment_name="e", export=export)
    assert second[f"{P}run_info.run_id"] == "b" * 32
    assert {second[key.replace(P, f"{P}lineage.1.")] == value for key, value in first.items()} == {True}


def test_shorten_keeps_what_fits_and_tells_apart_what_does_not() -> None:
    assert shorten("x" * 40, 40) == "x" * 40
    one, other = shorten("x" * 50 + "a", 40), shorten("x" * 50 + "b", 40)
    assert len(one) == len(other) == 40
    assert one.startswith("x" * 16 + "…sha256:")
    assert one != other
    assert shorten_key("k" * 300, 250).startswith("k" * 226 + ".sha256.")
    assert len(shorten_key("k" * 300, 250)) == 250


def test_the_longest_text_that_fits_stays_and_its_digest_is_that_of_all_of_it() -> None:
    assert shorten("x" * 41, 40) == "x" * 16 + "…sha256:" + sha256(b"x" * 41).hexdigest()[:16]
    assert shorten("é\ud800" * 40, 40).endswith(
        sha256(("é\ud800" * 40).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    )
    assert shorten_key("k" * 250, 250) == "k" * 250


def test_objects_of_other_kinds_state_every_column_that_is_not_empty() -> None:
    row = {"name": "m", "version": 3, "run_id": None, "description": ""}
    export = ExportFacts(tracking_uri="http://h", mlflow_version="3.1", exported_ms=999)
    tags = {"mlflow.x": None, "mlflow_archive.y": None, "z": "1", "mlflowx": "2"}
    own = {
        f"{P}lineage.1.mlflow_archive.y": "",
        f"{P}mlflow.x": "",
        f"{P}model_version.name": "m",
        f"{P}model_version.version": "3",
        f"{P}model_version.description": "",
        f"{P}metadata.tracking_uri": "http://h",
        f"{P}metadata.mlflow_version": "3.1",
        f"{P}metadata.timestamp": "0",
        f"{P}metadata.timestamp_nice": "1970-01-01 00:00:00",
    }
    assert object_source_tags("model_version", row, tags, export=export) == own
    found = object_source_tags("model_version", row, tags, export=export, experiment_name="")
    assert found == own | {f"{P}metadata.experiment_name": ""}


def test_a_time_beyond_the_year_9999_is_stated_in_seconds_alone() -> None:
    last_ms = 253402300799999
    for exported_ms, nice in ((last_ms, {f"{P}metadata.timestamp_nice": "9999-12-31 23:59:59"}), (last_ms + 1, {})):
        found = object_source_tags("t", {}, {}, export=ExportFacts(tracking_uri="", exported_ms=exported_ms))
        stated = {f"{P}metadata.tracking_uri": "", f"{P}metadata.timestamp": str(exported_ms // 1000)}
        assert found == stated | nice


@pytest.mark.parametrize(
    ("key", "is_left"),
    [
        (f"{P}x", True),
        ("mlflow_archive.x", True),
        ("mlflow_exim.", True),
        ("mlflow.x", False),
        ("x.mlflow_exim.", False),
    ],
)
def test_which_tags_an_import_left(key: str, is_left: bool) -> None:
    assert left_by_import(key) is is_left


def test_a_hop_of_ten_digits_or_over_two_lines() -> None:
    assert lineage_tags({f"{P}lineage.999999999.a\nb": None}) == {f"{P}lineage.1000000000.a\nb": ""}
    assert lineage_tags({f"{P}lineage.1000000000.a": "v"}) == {f"{P}lineage.1.lineage.1000000000.a": "v"}


@pytest.mark.parametrize(
    ("differing", "existing", "set_tags"),
    [
        pytest.param({}, {}, {}, id="nothing differs"),
        pytest.param({EXPORTED: "2"}, {EXPORTED: "1"}, {}, id="a newer export of the same"),
        pytest.param({EXPORTED: "2", "a": "x"}, {EXPORTED: "1"}, {EXPORTED: "2", "a": "x"}, id="and something else"),
        pytest.param({EXPORTED: "2"}, {}, {EXPORTED: "2"}, id="no export was stated"),
        pytest.param(
            {f"{P}metadata.tracking_uri": "b"},
            {f"{P}metadata.tracking_uri": "a"},
            {f"{P}metadata.tracking_uri": "b"},
            id="another server",
        ),
    ],
)
def test_by_which_export_an_object_came_is_no_difference_alone(
    differing: dict[str, str], existing: dict[str, str], set_tags: dict[str, str]
) -> None:
    assert beyond_the_export(differing, existing) == set_tags
