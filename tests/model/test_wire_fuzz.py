"""Hostile bytes: whatever arrives, nothing is raised, memory stays within limits, and honest peers are served."""

from __future__ import annotations

import random
import tracemalloc
from typing import Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.transport.limits import Limits
from posthouse.transport.links import ENDED_REMEMBERED, SERVED_MAX, Arrived, Identity, Link, Links, State
from posthouse.transport.wire import HEADER_BYTES, Header, Hello, Kind, Reset, Welcome, pack_body, pack_header

LIMITS: Final = Limits(window_messages=100, window_bytes=10_000, frame_bytes_max=20_000)
BOMBS: Final = (
    b"\x91" * 100_000 + b"\xc0",  # nested beyond any recursion limit
    b"\x91" + b"\x81\xa1a" * 100_000 + b"\xc0",
    b"\xdd\xff\xff\xff\xff" + b"\xc0" * 100,  # four billion elements, if one believes it
    b"\xdc\xff\xff" + b"\xc0" * 65_535,
    b"\x93\xa2\xff\xfe\x01\xa0",  # no UTF-8
    b"\x93\xdb\xff\xff\xff\xff",
    b"\x92\xcf" + b"\xff" * 8 + b"\xcf" + b"\xff" * 8,
    b"\x92\xd3\x80" + b"\0" * 7 + b"\x01",
    b"\xc1",
    b"",
)

headers = st.builds(
    Header,
    kind=st.one_of(st.sampled_from(Kind).map(int), st.integers(0, 255)),
    generation=st.sampled_from([0, 1, 3, 4, 2**32 - 1]),
    session=st.sampled_from([0, 1, 5, 6, 2**64 - 1]),
    sequence=st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1]),
    received=st.sampled_from([0, 1, 2, 3, 2**64 - 1]),
    settled=st.sampled_from([0, 1, 2, 3, 2**64 - 1]),
    messages=st.sampled_from([0, 1, 99, 2**32 - 1]),
    flags=st.sampled_from([0, 1, 2, 3, 2**32 - 1]),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(BOMBS),
    values.map(msgspec.msgpack.encode),
    st.lists(st.integers(0, 5), max_size=6).map(msgspec.msgpack.encode),
    st.just(pack_body(Hello("queue:q", 1, "c"))),
    st.just(pack_body(Welcome(LIMITS))),
    st.just(pack_body(Welcome(Limits(ping_interval_ms=0)))),
    st.sampled_from(["unknown_session", "not_done", "?"]).map(lambda code: pack_body(Reset(code, "text"))),
)
frames = st.builds(lambda header, body: pack_header(header) + body, headers, bodies)
mutated = st.builds(
    lambda frame, at, value: frame[: at % len(frame)] + bytes((value,)) + frame[at % len(frame) + 1 :],
    frames,
    st.integers(0, 10_000),
    st.integers(0, 255),
)
hostile = st.one_of(frames, mutated, st.binary(max_size=100))


def _both_ends_in_one() -> tuple[Links, Link]:
    """Serves in generation 3 and has opened a link that stands as session 5, with frames in flight."""
    links = Links(Identity(3, 0, "victim"), LIMITS, random.Random(1))
    link = links.open("queue:q")
    links.peer_up("queue:q", 3, "honest", 0)
    del links._by_session[link.session]
    link.session = 5
    links._by_session[5] = link
    links.receive("honest", pack_header(Header(Kind.WELCOME, 3, 5, 0, 0, 0, 0, 0)) + _welcome(), 0)
    assert link.state is State.OPEN
    for number in range(3):
        links.send(link, b"\x01", 1, 1, number)
        links.flush(0)
    return links, link


def _welcome() -> bytes:
    return pack_body(Welcome(LIMITS))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(hostile, st.booleans()), max_size=30))
def test_no_bytes_whatever_raise_or_silence_the_links(sent: list[tuple[bytes, bool]]) -> None:
    links, link = _both_ends_in_one()
    for now_ms, (frame, is_view) in enumerate(sent):
        links.receive("hostile", memoryview(frame) if is_view else frame, now_ms)
        for event in links.events:
            if isinstance(event, Arrived):
                links.settle(event)
        links.events.clear()
        if now_ms % 3 == 0:
            links.tick(now_ms * 100)
            assert len(links.flush(now_ms)) <= 10
    links.flush(0)
    honest = pack_header(Header(Kind.HELLO, 3, 77, 0, 0, 0, 0, 0)) + pack_body(Hello("queue:q", 2, "honest"))
    links.receive("honest", honest, 5_000)
    assert [frame[3] for route, frame in links.flush(5_000) if route == "honest" and frame[8] == 77] == [2]
    assert link.sender.messages_in_flight >= 0
    assert link.sender.bytes_in_flight >= 0


def test_what_a_peer_sends_never_becomes_much_more_than_it_sent() -> None:
    frames_of_bombs = [
        pack_header(Header(kind, 3, session, 1, 0, 0, 1, 0)) + bomb
        for kind in Kind
        for session in (5, 9)
        for bomb in (*BOMBS, b"\xdd\x00\x4c\x4b\x40" + b"\xc0" * 5_000_000)
    ]
    largest = max(len(frame) for frame in frames_of_bombs)
    tracemalloc.start()
    try:
        for frame in frames_of_bombs:
            links, _ = _both_ends_in_one()
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            links.receive("hostile", frame, 0)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < largest, f"a frame of {len(frame)} bytes cost {peak - before}"
    finally:
        tracemalloc.stop()


def test_a_flood_of_hellos_is_refused_at_the_limit_and_ended_sessions_are_forgotten_in_the_end() -> None:
    links = Links(Identity(3, 0, "victim"), LIMITS, random.Random(1))
    body = pack_body(Hello("queue:q", 1, "flood"))
    for session in range(1, SERVED_MAX + 101):
        links.receive("flood", pack_header(Header(Kind.HELLO, 3, session, 0, 0, 0, 0, 0)) + body, 0)
        links.events.clear()
    answers = [frame[3] for _, frame in links.flush(0)]
    assert len(links.served) == SERVED_MAX == answers.count(Kind.WELCOME)
    assert answers.count(Kind.RESET) == 100
    links.unreachable("flood")
    assert links.served == []
    assert len(links._ended) == ENDED_REMEMBERED


def test_a_peer_that_overruns_its_window_is_cut_off_with_what_it_sent_forgotten() -> None:
    links = Links(Identity(3, 0, "victim"), LIMITS, random.Random(1))
    hello = pack_header(Header(Kind.HELLO, 3, 9, 0, 0, 0, 0, 0)) + pack_body(Hello("queue:q", 1, "greedy"))
    links.receive("greedy", hello, 0)
    for sequence in range(1, 10_000):
        links.receive("greedy", pack_header(Header(Kind.DATA, 3, 9, sequence, 0, 0, 0, 0)) + b"\x90", 0)
    assert sum(isinstance(event, Arrived) for event in links.events) == LIMITS.window_messages
    assert links.served == []
    assert HEADER_BYTES * LIMITS.window_messages < LIMITS.window_bytes
