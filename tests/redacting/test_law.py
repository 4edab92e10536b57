"""Law: what was taken out of an archive is as if the store had never had it.

redact(export(store)) equals export(the store without the values), for stores and rules that hypothesis draws.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis.strategies import DrawFn, composite, dictionaries, integers, lists, sampled_from

import mlflow_archive as ma
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format.fingerprint import run_fingerprint
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from tests.redacting.subjects import rows_of, write
from tests.support.chunks import artifact, chunk, experiment, pairs, points
from tests.support.chunks import run as run_row

IDS = [f"{number:02x}" * 16 for number in (10, 11, 12)]
KEYS, VALUES = ("lr", "team.name", "team.id", "note"), ("0.1", "cust-17", "to cust-17 and cust-4", "")
USERS = ("ada", "bob")
FILES = ("model/a.bin", "x.env", "conf/y.env")

Run = dict[str, Any]


@composite
def stores(draw: DrawFn) -> list[Run]:
    texts = dictionaries(sampled_from(KEYS), sampled_from(VALUES), max_size=3)
    return [
        {
            "id": name,
            "user": draw(sampled_from(USERS)),
            "params": draw(texts),
            "tags": draw(texts) | draw(sampled_from([{}, *({"mlflow.parentRunId": parent} for parent in IDS)])),
            "files": draw(lists(sampled_from(FILES), unique=True)),
            "points": draw(integers(0, 3)),
        }
        for name in draw(lists(sampled_from(IDS), unique=True, min_size=1))
    ]


RULES = {
    "[[values]]\nkey = 'team.*'\naction = 'drop'\n": "drop",
    "[[values]]\nmatch = 'cust-[0-9]+'\naction = 'replace'\nwith = 'C'\n": "replace",
    "[[values]]\ntable = 'runs'\ncolumn = 'user_id'\naction = 'replace'\n": "user",
    "[[artifacts]]\npath = '*.env'\n": "files",
}


def without(runs: list[Run], chosen: list[str], erased: list[str], users: list[str]) -> list[Run]:
    """Return the store as it would be without the values, said in a way of its own."""
    kept = []
    gone = {run["id"] for run in runs if run["id"] in erased or run["user"] in users}
    for run in runs:
        if run["id"] in gone:
            continue
        params, tags = dict(run["params"]), dict(run["tags"])
        if tags.get("mlflow.parentRunId") in gone | set(erased):
            del tags["mlflow.parentRunId"]
        for texts in (params, tags):
            if "drop" in chosen:
                texts.pop("team.name", None)
                texts.pop("team.id", None)
            if "replace" in chosen:
                texts.update({key: text.replace("cust-17", "C").replace("cust-4", "C") for key, text in texts.items()})
        files = [path for path in run["files"] if not ("files" in chosen and path.endswith(".env"))]
        user = "[redacted]" if "user" in chosen else run["user"]
        kept.append({**run, "params": params, "tags": tags, "files": files, "user": user})
    return kept


def chunks(runs: list[Run]) -> list[Chunk]:
    shards = [chunk(experiments=[experiment("1", "churn")])]
    for run in runs:
        info = run_row(run["id"], "1", user_id=run["user"])
        files = [artifact(run["id"], path, f"{path} of {run['id']}".encode()) for path in run["files"]]
        history = points(run["id"], "loss", [float(step) for step in range(run["points"])])
        latest = [("loss", row["step"], row["timestamp"], row["value"]) for row in history[-1:]]
        print_of = run_fingerprint(info, run["params"], run["tags"], latest, files)
        shards.append(
            chunk(
                files,
                runs=[info],
                params=pairs(run["id"], run["params"]),
                tags=pairs(run["id"], run["tags"]),
                metrics=history,
                fingerprints=[print_of.row("run", run["id"])],
            )
        )
    return shards


@settings(max_examples=6, deadline=None)
@given(
    runs=stores(),
    texts=lists(sampled_from(sorted(RULES)), unique=True, min_size=1),
    erased=lists(sampled_from(IDS), unique=True, max_size=1),
    users=lists(sampled_from(USERS), unique=True, max_size=1),
)
def test_as_if_the_store_had_never_had_it(
    runs: list[Run], texts: list[str], erased: list[str], users: list[str]
) -> None:
    """Of a user the name may stay nowhere, so that all rows, and the fingerprints, are those of the other store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rules").write_text("".join(texts) + f"[erase]\nruns = {erased}\nusers = {users}\n")
        ma.redact(write(folder / "old", *chunks(runs)), folder / "new", folder / "rules")
        other = write(folder / "other", *chunks(without(runs, [RULES[text] for text in texts], erased, users)))
        assert rows_of(folder / "new") == rows_of(other)
        with open_archive(folder / "new") as new, open_archive(other) as expected:
            counts = [
                {name: count for name, count in archive.newest_export.counts.items() if name in TABLES}
                for archive in (new, expected)
            ]
        assert counts[0] == counts[1]
