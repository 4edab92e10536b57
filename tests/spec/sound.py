"""The valid vectors: archives that look unusual and are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa

from tests.spec.drafts import (
    HELLO,
    RUN_A,
    RUN_B,
    STEP,
    WORLD,
    Draft,
    Files,
    Frame,
    Row,
    base_rows,
    build,
    build_second,
    encode_part,
    in_order,
    in_order_of_making,
    make_table,
    part,
    zipped,
)
from tests.spec.faults import Rows, Tables, cut, table
from tests.spec.single_file_faults import single


def _two_exports(minor: int = 0) -> Files:
    """Export 2 holds run b again, with one param less and one changed, and without its artifact."""
    first = base_rows()
    again = {**first["runs"][1], "run_name": "second, renamed"}
    params = [{"run_id": RUN_B, "key": "lr", "value": "0.2"}]
    rows = {"experiments": first["experiments"], "runs": [again], "params": params}
    return build_second(Draft(), rows, minor=minor)


def _gap(owner_id: str, path: str, reason: str, *, owner_kind: str = "source", code: str = "G404") -> Row:
    return {"owner_id": owner_id, "owner_kind": owner_kind, "path": path, "code": code, "reason": reason}


def _told_twice() -> Files:
    """Both exports tell of fields of runs, the first also of another kind and of a run that could not be read."""
    told = [
        _gap("d" * 32, "", "its meta.yaml is cut off", owner_kind="run", code="G201"),
        *(_gap("run", "later", "100 times"), _gap("run", "sooner", "once"), _gap("trace", "later", "2 times")),
    ]
    draft = Draft(rows=lambda rows: rows.update(gaps=told))
    return build_second(draft, {"gaps": [_gap("run", "later", "3 times")]})


def _redaction(document: Row) -> None:
    stated = {"rules": "0123456789abcdef" * 4, "names": ["people", "teams"], "archive": "fedcba9876543210" * 4}
    document["exports"][0].update(redaction=stated, selection={"runs": ["[redacted]"]})
    document["format"].update(minor=6)


def _settled() -> Files:
    """Export 2 says of an unknown field, and of a kind as a whole, that they are no more; the rest stays told."""
    told = [
        *(_gap("", "page 2", "500", owner_kind=kind, code="G403") for kind in ("scorer", "trace")),
        _gap(RUN_B, "a", "cut off", owner_kind="run", code="G102"),
        *(_gap("experiment", "later", "3 times"), _gap("run", "later", "100 times")),
    ]
    draft = Draft(rows=lambda rows: rows.update(gaps=told))
    again = [_gap("", "page 3", "502", owner_kind="trace", code="G403")]
    return build_second(draft, {"gaps": again}, settled=[["scorer", ""], ["source", "experiment"], ["trace", ""]])


def _compacted() -> Files:
    """The first export was thinned out twice; the second also has the rows of the two before it."""
    draft = Draft(manifest=lambda d: d["exports"][0].update(compacted=[STEP, STEP | {"first": 1, "number": 1}]))
    return build_second(draft, {"runs": base_rows()["runs"][1:]}, compacted=[STEP], minor=5)


def _everything(rows: Rows) -> None:
    """Bring a row into every table."""
    dataset = {"dataset_name": "iris", "dataset_digest": "d1"}
    rows["experiment_tags"] = [{"experiment_id": "1", "key": "team", "value": "Größe"}]
    rows["tags"] = [{"run_id": RUN_A, "key": "mlflow.note.content", "value": "a\nb"}]
    rows["datasets"] = [{"experiment_id": "1", "name": "iris", "digest": "d1", "source_type": "local", "source": "{}"}]
    rows["dataset_inputs"] = [{"run_id": RUN_A, **dataset}]
    rows["dataset_input_tags"] = [{"run_id": RUN_A, **dataset, "key": "mlflow.data.context", "value": "training"}]
    gap = {"owner_id": "d" * 32, "owner_kind": "run", "path": "", "code": "G201", "reason": "its meta.yaml is cut off"}
    rows["gaps"] = [gap]
    rows["fingerprints"] = [{"owner_id": RUN_A, "owner_kind": "run", "fingerprint": "0" * 64}]


def _unknown_table(tables: Tables) -> None:
    tables[part("novelties")] = pa.table({"id": ["x"]})


def _no_footer_hashes(found: Row) -> None:
    for entry in found["members"]:
        entry.pop("footer_sha256", None)


def _nothing() -> Files:
    """An archive without any row: nothing was selected."""
    draft = Draft(frames=lambda frames: frames.clear(), rows=lambda rows: rows.clear())
    return build(draft)


def _version_1_1(rows: Rows) -> None:
    """Bring a run with and one without the column ``contents`` of fingerprints."""
    rows["fingerprints"] = [
        {"owner_id": RUN_A, "owner_kind": "run", "fingerprint": "0" * 64, "contents": "1" * 64},
        {"owner_id": RUN_B, "owner_kind": "run", "fingerprint": "0" * 64},
    ]


def _without_statistics(members: Files) -> None:
    """Write the points again, as version 1.1 does: without statistics of the column ``value``."""
    rows = make_table("metrics", base_rows()["metrics"])
    names = [name for name in rows.column_names if name != "value"]
    members[part("metrics")] = encode_part(rows, statistics=names)


VALID: Final[dict[str, tuple[str, Callable[[], Files | bytes]]]] = {
    "directory": ("The base of all vectors, as a directory.", lambda: build(Draft())),
    "single.mlfa": ("The same as a single file.", single()),
    "version_1_1.mlfa": (
        "Format 1.1: no statistics of doubles, fingerprints with and without contents, a schema newer than known.",
        lambda: zipped(
            in_order(
                build(
                    Draft(
                        rows=_version_1_1,
                        members=_without_statistics,
                        manifest=lambda d: [
                            d["format"].update(minor=1),
                            d["exports"][0]["source"].update(newer_schema=True, schema_revision="f" * 12),
                        ],
                    )
                )
            )
        ),
    ),
    "nothing_in_it": ("No rows at all.", _nothing),
    "every_table.mlfa": ("A row in every table.", lambda: zipped(in_order(build(Draft(rows=_everything))))),
    "two_exports": ("Run b comes again, with fewer rows.", _two_exports),
    "two_exports.mlfa": ("The same as a single file.", lambda: zipped(in_order(_two_exports()))),
    "version_1_3.mlfa": (
        "Format 1.3: the same, its members in the order in which they are made.",
        lambda: zipped(in_order_of_making(_two_exports(minor=3))),
    ),
    "told_twice.mlfa": (
        "Two exports tell of fields that they do not know.",
        lambda: zipped(in_order(_told_twice())),
    ),
    "settled.mlfa": (
        "Format 1.2: the second export names what the first told of and is no more.",
        lambda: zipped(in_order(_settled())),
    ),
    "compacted.mlfa": (
        "Format 1.5: two exports of an archive that was thinned out, the first of them twice.",
        lambda: zipped(in_order_of_making(_compacted())),
    ),
    "redacted.mlfa": (
        "Format 1.6: values were taken out of another archive by two rules.",
        lambda: zipped(in_order_of_making(build(Draft(manifest=_redaction)))),
    ),
    "cut_blob.mlfa": (
        "A blob in three frames.",
        lambda: zipped(in_order(build(Draft(frames=cut(WORLD, (0, WORLD[:5]), (5, WORLD[5:9]), (9, WORLD[9:])))))),
    ),
    "unknown_keys.mlfa": (
        "Keys, a minor version and a column that this version does not know.",
        lambda: zipped(
            in_order(
                build(
                    Draft(
                        manifest=lambda d: [
                            d.update(novel={"a": [1.5, None]}),
                            d["format"].update(minor=7),
                            d["members"][0].update(novel="x"),
                            d["exports"][0].update(novel=1),
                        ],
                        tables=table("params", lambda t: t.append_column("novel", pa.array(["x"] * t.num_rows))),
                    )
                )
            )
        ),
    ),
    "no_footer_hashes.mlfa": (
        "No member states a footer hash.",
        lambda: zipped(in_order(build(Draft(manifest=_no_footer_hashes)))),
    ),
    "unknown_table.mlfa": (
        "A table that this version does not know.",
        lambda: zipped(in_order(build(Draft(tables=_unknown_table)))),
    ),
    "blob_twice.mlfa": (
        "A blob lies in the pack twice, and in the index once.",
        lambda: zipped(in_order(build(Draft(frames=lambda f: f.append(Frame(blobs=[HELLO])), rows=_first_only)))),
    ),
}


def _first_only(rows: Rows) -> None:
    """Keep of each blob the first row of the index."""
    rows["blobs"] = list({(r["digest"], r["raw_offset"]): r for r in reversed(rows["blobs"])}.values())
    rows["blobs"].sort(key=lambda r: r["digest"])
