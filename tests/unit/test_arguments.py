"""Numbers that programs hand in."""

from __future__ import annotations

import math

import pytest

from posthouse.arguments import check_count, check_number, check_seconds, check_yes_or_no, is_short_text
from posthouse.transport.errors import InvalidArgument


def test_a_count_within_its_bounds_is_returned() -> None:
    assert [check_count("window", value, 1, 3) for value in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("value", [0, 4, -1, 2.0, "2", None, True])
def test_any_other_count_is_refused_with_its_name_and_bounds(value: object) -> None:
    with pytest.raises(InvalidArgument, match=r"window is .* whole number from 1 to 3"):
        check_count("window", value, 1, 3)


@pytest.mark.parametrize("value", [0, 1, 0.5])
def test_seconds_are_a_float(value: float) -> None:
    assert check_seconds("timeout_s", value) == value
    assert type(check_seconds("timeout_s", value)) is float


@pytest.mark.parametrize("value", [-1, -0.1, math.inf, math.nan, "1", None, True])
def test_anything_else_is_no_number_of_seconds(value: object) -> None:
    with pytest.raises(InvalidArgument, match="timeout_s"):
        check_seconds("timeout_s", value)


@pytest.mark.parametrize("value", [0, 3.5, math.inf, math.nan, "2", None, True])
def test_a_number_out_of_its_bounds_is_refused_with_them(value: object) -> None:
    assert check_number("factor", 2, 1.0, 3.0) == 2.0
    with pytest.raises(InvalidArgument, match=r"factor is .* a number from 1 to 3"):
        check_number("factor", value, 1.0, 3.0)


def test_only_true_and_false_are_yes_and_no() -> None:
    assert [check_yes_or_no("durable", value) for value in (True, False)] == [True, False]
    for value in (1, 0, "yes", None):
        with pytest.raises(InvalidArgument, match=r"durable is .* True or False"):
            check_yes_or_no("durable", value)


def test_a_short_text_is_counted_in_bytes_of_utf8() -> None:
    assert is_short_text("é", 2)
    for value in ("", "é", b"e", None, "\ud800"):
        assert not is_short_text(value, 1)
