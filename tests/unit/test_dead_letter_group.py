"""What a filter means of a group, and the mask that saves it from reading headers."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors.dead_letter_group import has_headers, mask_of

SAMPLES: list[dict[str, Any]] = [
    {"a": 1}, {"a": "1"}, {"a": True}, {"a": None}, {"b": b"x"}, {"a": 1.5}, {"a": [1]}, {"a": {"x": 1, "y": 2}},
    {"a": 1, "b": 2},
]  # fmt: skip


@pytest.mark.parametrize("wanted", SAMPLES, ids=str)
def test_a_mask_never_hides_headers_that_are_there(wanted: dict[str, Any]) -> None:
    headers = {"other": 7, **wanted}
    assert mask_of(headers) & mask_of(wanted) == mask_of(wanted)
    assert has_headers(headers, wanted)


def test_what_is_equal_and_written_differently_has_one_mask() -> None:
    assert mask_of({"a": {"x": 1, "y": 2}}) == mask_of({"a": {"y": 2, "x": 1}})
    assert mask_of({"a": 0.0}) == mask_of({"a": -0.0})
    assert mask_of(None) == mask_of({}) == 0


def test_most_other_headers_are_told_apart_without_a_look() -> None:
    wanted = mask_of({"order": 7})
    alike = [number for number in range(10_000) if mask_of({"order": number}) & wanted == wanted]
    assert 7 in alike
    assert len(alike) < 30


@pytest.mark.parametrize("headers", [None, {}, {"a": 2}, {"a": True}, {"b": 1}])
def test_headers_must_be_there_and_equal_in_type_and_value(headers: dict[str, Any] | None) -> None:
    assert not has_headers(headers, {"a": 1})
