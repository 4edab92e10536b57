"""Texts of strangers, each meant for somebody: a terminal, a page, a path, a database, a parser."""

from __future__ import annotations

from typing import Final

CANARY: Final = "canary-of-a-hostile-archive"
"""Part of every path that leads out: no file of this name may appear."""

SCRIPTS: Final = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></details><script>1</script>",
    "javascript:alert(1)",
)
ESCAPES: Final = (
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb",
    "a\nb\x00c",
    "\x08\x08",
    "\u202etxt.exe",
    "\u2028",
)
PATHS: Final = (
    f"../{CANARY}",
    f"../../../../../../{CANARY}",
    f"/tmp/{CANARY}",  # noqa: S108 - nothing may be written there
    f"a/../../{CANARY}",
    f"C:\\{CANARY}",
    f"..\\{CANARY}",
    f"~/{CANARY}",
    f"file:///tmp/{CANARY}",
    "a/",
    "a//b",
    "a/./b",
    "..",
    ".",
    "/",
    "",
    "x" * 300,
    "/".join("d" * 200),
    "a\x00b",
    "CON",
    "MODEL/MLMODEL",
    "model",
    "-rf",
    "a b.txt/c",
)
ODD: Final = (
    "=1+1",
    "'; drop table runs; --",
    "%s%n{0}$HOME`id`",
    "\ufeff",
    "\U0001f600" * 50,
    "e\u0301" * 50,
    "9" * 5000,
    "1e999",
    "null",
    "m-" + "0" * 32,
    "x" * 1_000_000,
    "\U0010ffff",
    "models:/churn/" + "9" * 5000,
    "runs:/" + "0" * 32 + f"/../../{CANARY}",
)
JSON: Final = (
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 500 + "1" + "}" * 500,
    "[" * 150 + "]" * 150,
    '{"a":' + "9" * 5000 + "}",
    '{"a":1e999}',
    '{"a":NaN}',
    '"\\ud800"',
    '{"\\ud800":"\\udfff"}',
    "{}",
    "[]",
    "null",
    "1",
    '{"attributes":[1],"spans":1}',
    '{"spans":[{"span_id":1}]}',
    '{"a":1,"a":2}',
    "{",
)
FILES: Final = (
    b"",
    b"flavors: !!python/object/apply:os.system ['true']\n",
    b"flavors: {a: &a [x, x], b: &b [*a, *a], c: &c [*b, *b], d: [*c, *c]}\nrun_id: [1]\n",
    b"run_id: 1\nrun_id: 2\nmodel_uuid: {}\nsignature: [\n",
    b"- a\n- b\n",
    b"flavors: " + b"{a: " * 200 + b"}" * 200 + b"\n",
    b"utc_time_created: 9999999999-99-99\nmodel_size_bytes: " + b"9" * 5000 + b"\n",
    b"\xff\xfe\x00",
    b"\x1b[31mred\x9b31m",
    b"<script>alert(1)</script>",
    b"\x80\x04\x95",
)
"""Bytes of artifacts: descriptions of models that are none, among others."""

NOT_UTF8: Final = (b"\xed\xa0\x80", b"\xff\xfe", b"a\xc3", b"\xf4\x90\x80\x80", b"\xc0\xaf")
"""A lone surrogate, bytes of nothing, a character cut short, one beyond the last, a slash in two bytes."""

INTEGERS: Final = (-1, 0, 1, 2**31 - 1, 2**31, 2**32, 400 * 10**9, 2**62, 2**63 - 1, -(2**63))
EVERY: Final = SCRIPTS + ESCAPES + PATHS + ODD + JSON
