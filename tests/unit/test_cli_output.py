"""Tables, JSON, bodies and values in a form for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from posthouse import cli_output
from posthouse.cli_output import Cell, Column, Row
from posthouse.transport.messages import BindingSpec

COLUMNS = (Column("name", can_shrink=True), Column("count", is_number=True), Column("state"))


def test_a_pipe_gets_aligned_columns_without_escape_codes_or_trailing_space(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows: list[Row] = [("a", "7", Cell("up", "green")), ("long-name", "1,234", "")]
    cli_output.print_table(COLUMNS, rows, "nothing")
    assert capsys.readouterr().out == ("NAME       COUNT  STATE\na              7  up\nlong-name  1,234\n")


def test_wide_characters_keep_the_columns_of_a_pipe_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.print_table(COLUMNS, [("北京", "1", "up"), ("abcd", "1", "up")], "nothing")
    _, first, second = capsys.readouterr().out.splitlines()
    assert first == "北京      1  up"
    assert second == "abcd      1  up"


def test_a_pipe_gets_the_header_of_an_empty_table_so_that_scripts_may_skip_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli_output.print_table(COLUMNS, [], "nothing")
    assert capsys.readouterr().out == "NAME  COUNT  STATE\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text \xc3\xa9", "text é"),
        (b"\xff\x00", {"base64": "/wA="}),
        (memoryview(b"view"), "view"),
        ({"a": b"\xff", 1: (1, 2)}, {"a": {"base64": "/w=="}, "1": [1, 2]}),
        (float("inf"), "inf"),
        (0.5, 0.5),
        (None, None),
        (datetime(2013, 1, 1, 5, 15, 0, 123456, tzinfo=UTC), "2013-01-01T05:15:00.123+00:00"),
        (
            BindingSpec(source="a", destination="b"),
            {"source": "a", "destination": "b", "to_exchange": False, "key": "", "arguments": None},
        ),
    ],
)
def test_json_has_structs_as_maps_and_bytes_as_text_or_base64(value: Any, expected: Any) -> None:
    assert cli_output.as_json(value) == expected


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.print_json([{"name": "é", "odd": float("nan")}])
    assert json.loads(capsys.readouterr().out) == [{"name": "é", "odd": "nan"}]


def test_a_line_of_json_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.print_json_line({"body": b"a\nb\x1b[2J"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert json.loads(out) == {"body": "a\nb\x1b[2J"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 北", "plain é 北"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb", r"a\nb"),
        ("\u202eevil", r"\u202eevil"),
    ],
)
def test_what_a_terminal_might_obey_is_escaped(text: str, expected: str) -> None:
    assert cli_output.printable(text) == expected


@pytest.mark.parametrize(
    ("body", "characters_max", "expected"),
    [
        (b"", None, ""),
        (b"hello", None, "hello"),
        (b"hello", 5, "hello"),
        (b"hello!", 5, "hell…"),
        ("é".encode() * 100, 10, "é" * 9 + "…"),
        (b"\x1b[2Jred", None, r"\x1b[2Jred"),
        (b"\x01\x00\x00\x00abc", None, "<7 bytes: 01 00 00 00 61 62 63>"),
        (b"\n\n", None, r"\n\n"),
        (b"\xff\xfe", None, "<2 bytes: ff fe>"),
        (bytes(range(128, 158)), 10, "<30 bytes: 80 81 82 83 84 85 86 87 88 89 8a 8b 8c 8d 8e 8f …>"),
        (b"\xff" * 1000, 10, "<1000 bytes: " + "ff " * 16 + "…>"),
    ],
)
def test_a_body_for_people_is_its_text_or_its_first_bytes(
    body: bytes, characters_max: int | None, expected: str
) -> None:
    assert cli_output.readable_body(body, characters_max) == expected


def test_a_pipe_gets_a_body_byte_by_byte(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    cli_output.print_body(b"\x00\xff\x1b[2J")
    assert capsysbinary.readouterr().out == b"\x00\xff\x1b[2J\n"


def test_headers_are_shown_as_they_are_typed() -> None:
    assert cli_output.readable_map({"carrier": "UA", "hour": 7, "x": None}) == "carrier=UA hour:=7 x:=null"
    assert cli_output.readable_map(None) == ""


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (20_480, "20 KiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_sizes_have_a_unit(number: int, expected: str) -> None:
    assert cli_output.size(number) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0 s"),
        (0.9, "0 s"),
        (42, "42 s"),
        (185, "3 min 5 s"),
        (7_200, "2 h"),
        (356_400, "4 d 3 h"),
        (86_401, "1 d"),
    ],
)
def test_durations_have_their_two_greatest_units(seconds: float, expected: str) -> None:
    assert cli_output.duration(seconds) == expected


def test_the_default_exchange_has_a_name_for_people() -> None:
    assert cli_output.name_of("").text == "(default)"
    assert cli_output.name_of("a\x07").text == r"a\x07"
