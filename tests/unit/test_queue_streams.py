"""The last sequence number of every stream."""

from __future__ import annotations

from posthouse.actors.queue_streams import Streams


def test_an_unknown_stream_has_brought_nothing() -> None:
    assert Streams().last(7) == 0


def test_a_number_never_goes_back() -> None:
    streams = Streams()
    streams.saw(7, 10)
    streams.saw(7, 4)
    assert streams.last(7) == 10


def test_the_stream_that_was_quiet_longest_goes_first() -> None:
    streams = Streams(streams_max=2)
    streams.saw(1, 10)
    streams.saw(2, 20)
    streams.saw(1, 11)
    streams.saw(3, 30)
    assert len(streams) == 2
    assert streams.flat() == [1, 11, 3, 30]
    assert streams.last(2) == 0
