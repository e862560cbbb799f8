"""Headers and durations as they are typed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import typer

from posthouse.breaker import Breaker
from posthouse.cli_values import parse_breaker, parse_duration_s, parse_headers


def test_no_headers_are_none_so_that_none_are_sent() -> None:
    assert parse_headers(None) is None
    assert parse_headers([]) is None


@pytest.mark.parametrize(
    ("item", "name", "value"),
    [
        ("carrier=UA", "carrier", "UA"),
        ("empty=", "empty", ""),
        ("sum=1=1", "sum", "1=1"),
        ("url=http://x:=1", "url", "http://x:=1"),
        ("a:b=c", "a:b", "c"),
        ("hour:=7", "hour", 7),
        ("cancelled:=true", "cancelled", True),
        ("ratio:=0.5", "ratio", 0.5),
        ("nothing:=null", "nothing", None),
        ('text:="7"', "text", "7"),
        ('list:=[1,{"a":"="}]', "list", [1, {"a": "="}]),
    ],
)
def test_equals_takes_text_and_colon_equals_takes_json(item: str, name: str, value: Any) -> None:
    found = parse_headers([item])
    assert found == {name: value}
    assert type(found[name]) is type(value)


@pytest.mark.parametrize("item", ["", "carrier", "=UA", ":=1", "a:b", "x:=", "x:=yes", "x:=" + "[" * 100_000])
def test_what_is_no_header_is_refused_as_wrong_usage(item: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_headers([item])


def test_a_header_given_twice_is_refused_and_not_silently_the_last() -> None:
    with pytest.raises(typer.BadParameter, match="twice"):
        parse_headers(["a=1", "a:=2"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("200ms", 0.2),
        ("5s", 5),
        (" 2 m ", 120),
        ("1h", 3600),
        ("1d", 86400),
        (7.5, 7.5),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(text: str | float, seconds: float) -> None:
    assert math.isclose(parse_duration_s(text), seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "5 years", "1e3", "nan", "inf", "5s5", "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "breaker"),
    [
        ("window=5", Breaker(window=5)),
        ("share=.5, probe=200ms", Breaker(failure_share=0.5, probe_after_s=0.2)),
        ("window=20,share=1,probe=5s,max=2m", Breaker(failure_share=1.0, max_probe_after_s=120.0)),
    ],
)
def test_a_breaker_is_written_in_parts(text: str, breaker: Breaker) -> None:
    assert parse_breaker(text) == breaker


@pytest.mark.parametrize(
    "text", ["", "window", "window=-1", "window=0", "share=2", "share=", "probe=soon", "colour=red"]
)
def test_what_is_no_breaker_is_refused_as_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_breaker(text)
