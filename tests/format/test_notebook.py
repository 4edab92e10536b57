"""Tables of notebooks: every text escaped, long ones cut, of many rows the first."""

from __future__ import annotations

from mlflow_archive.format.notebook import pairs_html, rows_html, table_html

CELL = 'style="padding:2px 8px;text-align:left;vertical-align:top"'
TABLE = '<table style="border-collapse:collapse;font-size:90%">'


def test_a_table_is_data() -> None:
    assert table_html("<b>", ["a&b"], [["<i>"], [None], [3]]) == (
        f"<b>&lt;b&gt;</b>{TABLE}<tr><th {CELL}>a&amp;b</th></tr><tr><td {CELL}>&lt;i&gt;</td></tr>"
        f"<tr><td {CELL}></td></tr><tr><td {CELL}>3</td></tr></table>"
    )


def test_columns_are_those_of_the_first_row_and_twenty_rows_are_shown() -> None:
    assert (rows_html("t", []), pairs_html("t", {})) == ("", "")
    rows = [{"a": 1, "b": 2}, {"b": 4, "a": 3, "c": 5}]
    assert rows_html("t", rows) == table_html("t (2)", ["a", "b"], [[1, 2], [3, 4]])
    for count, heading in ((20, "t (20)"), (21, "t (21, the first 20 are shown)")):
        numbers = [{"n": number} for number in range(count)]
        assert rows_html("t", numbers) == table_html(heading, ["n"], [[number] for number in range(20)])


def test_pairs_stand_beside_each_other() -> None:
    assert pairs_html("t", {"a": 1, "b": None}) == (
        f"<b>t</b>{TABLE}<tr><th {CELL}>a</th><td {CELL}>1</td></tr><tr><th {CELL}>b</th><td {CELL}></td></tr></table>"
    )


def test_a_long_text_is_cut() -> None:
    for size, shown in ((200, "x" * 200), (201, "x" * 199 + "…")):
        assert pairs_html("t", {"a": "x" * size}) == pairs_html("t", {"a": shown})
