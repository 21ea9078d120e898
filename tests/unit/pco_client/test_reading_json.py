"""read_json takes a fast way where it is safe; it must say the same as the exact decoder."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_client.documents import read_json

DIGITS = st.integers(min_value=0, max_value=10**25).map(str)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    DIGITS,
    st.sampled_from(["", ".0", ".5", ".1234567890123456789", "." + "0" * 400 + "1"]),
    st.sampled_from(["", "e5", "E-07", "e+99", "e-99", "e308", "e-400", "E400"]),
)


def exactly(text: str) -> Any:
    """Integers as int; other numbers as float, or as Decimal where a float would be infinite or nothing."""

    def number(told: str) -> float | Decimal:
        there = float(told)
        return there if there not in (0.0, float("inf"), float("-inf")) else Decimal(told) or there

    return json.loads(text, parse_float=number)


@given(NUMBERS)
def test_a_number_of_any_size_is_read_exactly(number: str) -> None:
    text = f'{{"attributes": [{number}, "{number}"]}}'
    assert repr(read_json(text.encode())) == repr(exactly(text))


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\u0000"', '{"a": 1, "a": 2}', "[" * 500 + "]" * 500])
def test_unusual_json_is_read_all_the_same(text: str) -> None:
    assert read_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize("body", [b"", b"NaN", b"[Infinity]", b"{", b'"\x01"', b"\xff", b"01", b"[1,]", b"<html>"])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(body)
