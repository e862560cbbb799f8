"""The names of a message, and who bears them."""

from __future__ import annotations

import pytest

from posthouse.biography.wanted import Wanted, batch_of, ids_beginning
from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from tests.support.biography_samples import sample_message


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("a1-5", [0]),
        ("a1-7", [2]),
        ("a1-8", []),
        ("a1-4", []),
        ("0a1-5", []),
        ("A1-5", []),
        ("a1-05", []),
        ("a1-", []),
        ("a1", []),
        ("a1-5 ", []),
        ("-5", []),
        ("b1-5", []),
        ("a1-" + "9" * 40, []),
    ],
)
def test_a_derived_name_is_stream_and_number_and_nothing_else(name: str, indexes: list[int]) -> None:
    assert Wanted(name).indexes(batch_of(sample_message(3, first_seq=5))) == indexes


def test_a_chosen_name_is_compared_as_a_whole() -> None:
    batch = batch_of(sample_message(3, ids=["order-1", "order-17", None]))
    assert Wanted("order-1").indexes(batch) == [0]
    assert Wanted("order").indexes(batch) == []
    assert Wanted("order-1", "order-17", "a1-3").indexes(batch) == [0, 1, 2]


def test_a_name_may_look_like_a_number_of_another_stream() -> None:
    assert Wanted("b2-9").indexes(batch_of(sample_message(2, ids=["b2-9", None]))) == [0]


def test_names_are_added_once() -> None:
    wanted = Wanted("x")
    assert wanted.add("y")
    assert not wanted.add("x")
    assert list(wanted.ids) == ["x", "y"]


def test_places_in_a_range_of_a_stream() -> None:
    assert Wanted("a1-12", "a1-10", "b1-11").numbers_within(0xA1, 10, 3) == [0, 2]


def test_names_that_begin_so() -> None:
    batch = batch_of(sample_message(3, first_seq=9, ids=["a1-x", None, "other"]))
    assert list(ids_beginning(batch, "a1-")) == ["a1-x", "a1-10"]
    assert list(ids_beginning(batch_of(sample_message(2)), "b")) == []
    assert list(ids_beginning(batch_of(sample_message(2)), "a1-2")) == ["a1-2"]


@pytest.mark.parametrize("raw", [b"", b"\xc1", messages.encode([1, 2])])
def test_what_is_no_batch_is_corruption(raw: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        batch_of(raw)


@pytest.mark.parametrize("first_seq", [1, 127, 128, 255, 256, 65_535, 65_536, 2**32, 2**53])
@pytest.mark.parametrize("stream", [1, 127, 300, 2**31, 2**33, 2**63 + 5])
def test_no_batch_with_the_message_is_without_the_bytes_that_are_searched_for(stream: int, first_seq: int) -> None:
    raw = sample_message(3, stream=stream, first_seq=first_seq)
    for number in (first_seq, first_seq + 2):
        needle = Wanted(f"{stream:x}-{number}").needle()
        assert needle.find(b"before" + raw, 0) > 0
    assert Wanted(f"{stream:x}-{first_seq + 3}").needle().find(raw, 0) == -1
