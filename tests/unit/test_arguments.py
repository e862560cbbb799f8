"""Numbers that programs hand in."""

from __future__ import annotations

import math

import pytest

from posthouse.arguments import check_count, check_seconds
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
