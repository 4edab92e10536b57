"""JSON that a stranger wrote: read as deep as the limit, and refused beyond it."""

from __future__ import annotations

import pytest

from mlflow_archive.format.json_text import MAX_DEPTH, parse_json


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_values_nest_as_deep_as_the_limit_and_no_deeper(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    value = parse_json(opening * MAX_DEPTH + "1" + closing * MAX_DEPTH)
    for _ in range(MAX_DEPTH):
        [value] = value.values() if isinstance(value, dict) else value
    assert value == 1
    with pytest.raises(ValueError, match=f"^it nests more than {MAX_DEPTH} deep$"):
        parse_json(opening * (MAX_DEPTH + 1) + "1" + closing * (MAX_DEPTH + 1))


def test_the_deepest_of_several_values_counts() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(f'{{"a":1,"b":[{deep[2:-2]},2]}}')["b"][1] == 2
    with pytest.raises(ValueError, match="nests more than"):
        parse_json(f'[1,{{"a":2,"b":{deep}}},3]')


def test_what_brings_pythons_decoder_down_is_no_crash() -> None:
    with pytest.raises(ValueError, match=r"^it nests too deep$"):
        parse_json("[" * 100_000)


def test_constants_that_json_does_not_have_go_to_the_caller() -> None:
    assert parse_json("[NaN, -Infinity]", parse_constant=str.lower) == ["nan", "-infinity"]
    assert parse_json(b"[Infinity]") == [float("inf")]
    with pytest.raises(ValueError, match="Expecting value"):
        parse_json("")
