"""Bodies as JSON: text where they are text, cut where they are long."""

from __future__ import annotations

import pytest

from posthouse.transport.errors import InvalidArgument
from posthouse.web.bodies import BODY_BYTES_MAX, BodyShown, body_of, check_body_bytes, show_body


@pytest.mark.parametrize(
    ("body", "bytes_max", "expected"),
    [
        (b"", 10, BodyShown(size=0, base64="", text="", is_cut=False)),
        (b"abc", 10, BodyShown(size=3, base64="YWJj", text="abc", is_cut=False)),
        (b"abc", 2, BodyShown(size=3, base64="YWI=", text="ab", is_cut=True)),
        (b"abc", 0, BodyShown(size=3, base64="", text="", is_cut=True)),
        (b"\xff\x00", 10, BodyShown(size=2, base64="/wA=", text=None, is_cut=False)),
        ("h€".encode(), 3, BodyShown(size=4, base64="aOKC", text="h", is_cut=True)),
        ("h€".encode()[:3], 10, BodyShown(size=3, base64="aOKC", text=None, is_cut=False)),
        (b"\xffabc", 3, BodyShown(size=4, base64="/2Fi", text=None, is_cut=True)),
    ],
)
def test_a_body_is_shown_as_text_where_it_is_one(body: bytes, bytes_max: int, expected: BodyShown) -> None:
    assert show_body(body, bytes_max) == expected


def test_the_size_is_that_of_the_whole_body_where_only_its_beginning_is_there() -> None:
    assert show_body(b"abc", 10, 10_000_000) == BodyShown(size=10_000_000, base64="YWJj", text="abc", is_cut=True)


def test_a_body_comes_as_text_or_as_base64() -> None:
    assert body_of("h€", None) == "h€".encode()
    assert body_of(None, "/wA=") == b"\xff\x00"
    assert body_of(None, None) == b""


@pytest.mark.parametrize(
    ("text", "encoded"), [("a", "YQ=="), (None, "YQ"), (None, "é"), (None, "Y Q="), ("\ud800", None)]
)
def test_a_body_that_is_neither_is_refused(text: str | None, encoded: str | None) -> None:
    with pytest.raises(InvalidArgument):
        body_of(text, encoded)


@pytest.mark.parametrize("bytes_max", [-1, BODY_BYTES_MAX + 1])
def test_more_of_a_body_than_there_may_be_is_refused(bytes_max: int) -> None:
    with pytest.raises(InvalidArgument):
        check_body_bytes(bytes_max)
