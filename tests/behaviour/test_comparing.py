"""What counts as a difference between two recordings, and what is only listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.behaviour.comparing import differences
from tests.behaviour.listening import Call
from tests.behaviour.plain_calls import PlainCalls
from tests.behaviour.recording import is_about_turns, without_passing

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "v1-single.mlfa"


def write(root: Path, *calls: tuple[str, str], text: str = "the same") -> Path:
    (root / "replays").mkdir(parents=True)
    (root / "replays" / "a.txt").write_text(text)
    lines = [json.dumps({"kind": kind, "body": body}) for kind, body in calls]
    (root / "replays" / "a.calls.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return root


def test_the_same_calls_in_another_order_are_equal_and_listed(tmp_path: Path) -> None:
    before = write(tmp_path / "before", ("POST a", "1"), ("POST b", "2"), ("POST b", "3"))
    after = write(tmp_path / "after", ("POST b", "3"), ("POST b", "2"), ("POST a", "1"))
    report = differences(before, after)
    assert report.equal
    moved = {line.strip() for line in report.lines if line.startswith(("    -POST", "    +POST"))}
    assert moved == {"-POST b x2", "+POST b x2"}


@pytest.mark.parametrize("calls", [[("POST a", "1")], [("POST a", "1"), ("POST a", "1"), ("POST a", "2")]])
def test_a_call_more_or_less_is_a_difference(calls: list[tuple[str, str]], tmp_path: Path) -> None:
    before = write(tmp_path / "before", ("POST a", "1"), ("POST a", "1"))
    report = differences(before, write(tmp_path / "after", *calls))
    assert not report.equal
    assert any(line.startswith("replays/a.calls.jsonl: POST a: ") for line in report.lines)


def test_text_and_files_that_differ_are_differences(tmp_path: Path) -> None:
    before, after = write(tmp_path / "before"), write(tmp_path / "after", text="other")
    (after / "more").write_text("")
    report = differences(before, after)
    assert not report.equal
    assert report.lines[0] == f"more: is not in {before}"
    assert report.lines[2:] == [
        "replays/a.txt: differs",
        "    --- before",
        "    +++ after",
        "    @@ -1 +1 @@",
        "    -the same",
        "    +other",
        "0 of 3 files are equal byte by byte, calls apart.",
    ]


def test_ids_and_times_that_a_server_gave_are_named() -> None:
    calls = PlainCalls(GOLDEN)
    source, target, unknown = "28886725f5584bf481347a1e39de9248", "c" * 32, "d" * 32
    calls.learn({"runs": {source: target}, "experiments": {"3": "7"}})
    body = {
        "experiment_id": "7",
        "run_id": target,
        "other": unknown,
        "source": source,
        "step": 7,
        "at": 1_800_000_000_123,
    }
    call = Call(method="PUT", path=f"/api/artifacts/7/{target}/x?run_id={target}", body=json.dumps(body).encode())
    plain = json.loads(calls.plain(call, 1_800_000_000.0, 1_800_000_001.0))
    assert plain == {
        "kind": "PUT /api/artifacts/*/*/x",
        "path": f"/api/artifacts/<experiment 3>/<{source}>/x",
        "query": {"run_id": f"<{source}>"},
        "body": {
            "experiment_id": "<experiment 3>",
            "run_id": f"<{source}>",
            "other": "<new>",
            "source": source,
            "step": 7,
            "at": "<now>",
        },
    }


def test_what_is_another_each_time_is_left_out() -> None:
    said = (
        "export: starting\nimport: 1.5 KiB of 2 KiB, 0 of 6 runs, 7 points\nimport: 3 runs/s\n"
        "archive id  " + "a" * 64 + "\n  size     74.8 KiB\n  time    6.61 s, 0.303 runs/s\n"
    )
    lasting = "import: the archive is damaged: 1 of 2\n  runs    3\n"
    assert without_passing(said + lasting) == "archive id\n" + lasting
    path = "/api/2.0/mlflow/experiments/"
    turn = Call(method="POST", path=f"{path}set-experiment-tag", body=b'{"key": "mlflow_archive.import_turn.1"}')
    assert is_about_turns(turn)
    assert is_about_turns(Call(method="GET", path=f"{path}get?experiment_id=0", body=b""))
    assert not is_about_turns(Call(method="POST", path=turn.path, body=b'{"key": "team"}'))
