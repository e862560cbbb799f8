"""The headers match: what is equal, the four modes, the index."""

from __future__ import annotations

import math
from typing import Any

import pytest

from posthouse.actors.headers_match import HeadersMatch, HeadersTable, is_equal
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import BindingSpec


def binding(arguments: dict[str, Any] | None) -> BindingSpec:
    return BindingSpec(source="x", destination="q", arguments=arguments)


def matches(arguments: dict[str, Any] | None, headers: dict[str, Any]) -> bool:
    """By the match itself; the index must agree."""
    direct = HeadersMatch(arguments).matches(headers)
    table = HeadersTable()
    table.add(1, binding(arguments))
    assert bool(table.match("", headers)) is direct
    return direct


@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1.0, 1, True),
        (0.0, -0.0, True),
        (2**53 + 1, float(2**53), False),
        (math.inf, math.inf, True),
        (math.nan, math.nan, False),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (False, 0, False),
        (True, False, False),
        ("1", 1, False),
        (1, "1", False),
        ("a", "a", True),
        ("a", "A", False),
        ("a", b"a", False),
        (b"a", "a", False),
        (b"a", b"a", True),
        (None, None, True),
        ([None], [0], False),
        ([1, "a"], [1.0, "a"], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([1], 1, False),
        ([True], [1], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ({}, [], False),
        ([], {}, False),
    ],
)
def test_values_are_equal_by_kind_and_value_at_every_depth(wanted: Any, value: Any, expected: bool) -> None:
    assert is_equal(wanted, value) is expected
    if wanted is not None:
        assert matches({"h": wanted}, {"h": value}) is expected


@pytest.mark.parametrize("value", [None, False, 0, "", b"", [], {}, [1]])
def test_a_wanted_none_only_asks_that_the_header_exists(value: Any) -> None:
    assert matches({"h": None}, {"h": value})
    assert not matches({"h": None}, {"other": value})


def test_all_is_the_default_and_wants_every_header() -> None:
    for arguments in ({"a": 1, "b": 2}, {"x-match": "all", "a": 1, "b": 2}):
        assert matches(arguments, {"a": 1, "b": 2, "c": 3})
        assert not matches(arguments, {"a": 1, "b": 3})
        assert not matches(arguments, {"a": 1})


def test_any_wants_one_header() -> None:
    arguments = {"x-match": "any", "a": 1, "b": None}
    assert matches(arguments, {"a": 1})
    assert matches(arguments, {"a": 2, "b": 2})
    assert not matches(arguments, {"a": 2})
    assert not matches(arguments, {})


def test_names_that_start_with_x_count_only_with_x() -> None:
    assert matches({"x-a": 1, "b": 2}, {"b": 2})
    assert matches({"x-match": "all", "x-a": 1}, {})
    assert not matches({"x-match": "any", "x-a": 1}, {"x-a": 1})
    assert not matches({"x-match": "all-with-x", "x-a": 1, "b": 2}, {"b": 2})
    assert matches({"x-match": "all-with-x", "x-a": 1, "b": 2}, {"b": 2, "x-a": 1})
    assert matches({"x-match": "any-with-x", "x-a": 1, "b": 2}, {"x-a": 1})


def test_the_mode_itself_is_never_wanted() -> None:
    assert matches({"x-match": "all-with-x"}, {})
    assert not matches({"x-match": "any-with-x"}, {"x-match": "any-with-x"})


def test_with_nothing_wanted_all_takes_everything_and_any_nothing() -> None:
    for arguments in (None, {}, {"x-match": "all"}, {"x-match": "all-with-x"}):
        assert matches(arguments, {})
        assert matches(arguments, {"a": 1})
    for arguments in ({"x-match": "any"}, {"x-match": "any-with-x"}):
        assert not matches(arguments, {})
        assert not matches(arguments, {"a": 1})


@pytest.mark.parametrize("mode", ["ALL", "some", "", 1, None, True, ["all"]])
def test_another_mode_is_refused(mode: object) -> None:
    with pytest.raises(InvalidArgument, match=r"x-match is .*; allowed are 'all', 'any', 'all-with-x'"):
        HeadersTable.check(binding({"x-match": mode}))


def test_the_modes_of_rabbitmq_are_accepted() -> None:
    for mode in ("all", "any", "all-with-x", "any-with-x"):
        HeadersTable.check(binding({"x-match": mode, "a": 1}))
    HeadersTable.check(binding(None))


def test_no_headers_match_like_empty_ones() -> None:
    table = HeadersTable()
    table.add(1, binding({"a": 1}))
    table.add(2, binding({}))
    assert table.match("", None) == table.match("", {}) == [binding({})]


def test_a_binding_that_several_headers_lead_to_is_found_once() -> None:
    table = HeadersTable()
    table.add(1, binding({"x-match": "any", "a": 1, "b": None, "c": [1]}))
    assert len(table.match("", {"a": 1, "b": 2, "c": [1]})) == 1


def test_the_same_binding_twice_is_one() -> None:
    table = HeadersTable()
    table.add(1, binding({"a": 1}))
    table.add(1, binding({"a": 1}))
    table.remove(1, binding({"a": 1}))
    assert table.match("", {"a": 1}) == []


def test_removing_gives_everything_back_and_removing_again_changes_nothing() -> None:
    table = HeadersTable()
    arguments: list[dict[str, Any]] = [{"a": 1}, {"a": 1, "b": 2}, {}, {"x-match": "any", "a": 1, "c": None}]
    for identity, wanted in enumerate(arguments):
        table.add(identity, binding(wanted))
    for identity, wanted in enumerate(arguments):
        table.remove(identity, binding(wanted))
        table.remove(identity, binding(wanted))
        remaining = len(arguments) - identity - 1
        assert len(table.match("", {"a": 1, "b": 2, "c": 3})) == remaining
    assert not table._slots
    assert not table._entries


def test_a_message_is_not_held_against_bindings_that_want_other_values() -> None:
    table = HeadersTable()
    for number in range(1000):
        table.add(number, binding({"kind": "order", "number": number}))
    sizes = sorted(len(waiting) for waiting in table._slots.values())
    assert sizes[-1] <= 2


@pytest.mark.parametrize(
    ("arguments", "headers", "reason"),
    [
        ({"carrier": "UA"}, {"carrier": "AA"}, "header carrier is 'AA', the binding wants 'UA'"),
        ({"carrier": "UA"}, {}, "header carrier is missing, the binding wants 'UA'"),
        ({"carrier": None}, {}, "header carrier is missing, the binding wants any value"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, "every header the binding wants is as wanted: a, b"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "header b is 3, the binding wants 2"),
        ({}, {"a": 1}, "the binding wants no header: x-match all takes everything"),
        ({"x-match": "any"}, {"a": 1}, "the binding wants no header: x-match any takes nothing"),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, "header b is 2, which is one that the binding wants"),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 1}, "no header is as the binding wants: a, b"),
    ],
)
def test_the_reason_is_the_header_that_decided(arguments: dict[str, Any], headers: dict[str, Any], reason: str) -> None:
    is_match = matches(arguments, headers)
    assert HeadersTable.reason(binding(arguments), "", headers, is_match) == reason
