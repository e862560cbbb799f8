"""How sessions end, by example: goodbyes, resets and violations."""

from __future__ import annotations

import random

import pytest

from posthouse.transport import wire
from posthouse.transport.links import Arrived, Ended, Identity, Links, Opened, Settled, State
from posthouse.transport.wire import Kind, Reset
from tests.support.link_pair import LIMITS, PIECE, Pair, events, frame, kinds, said, state_of


def test_closing_says_goodbye_with_what_was_settled_and_returns_what_was_not() -> None:
    pair = Pair()
    served = pair.standing()
    for number in (1, 2, 3):
        pair.server.send(served, PIECE, 1, 1, number)
        pair.pass_on()
    arrived = events(pair.opener)
    pair.opener.settle(arrived[0])
    pair.opener.settle(arrived[2])
    pair.opener.send(pair.link, PIECE, 1, 1, "unsent")
    assert pair.opener.close(pair.link) == ["unsent"]
    assert not pair.opener.is_open("queue:q")
    assert pair.pass_on() == [Kind.BYE]
    settled, ended = events(pair.server)
    assert settled == Settled(served, [1, 3])
    assert ended == Ended(served, "goodbye", "the peer closed the link", [2])


def test_a_link_that_never_opened_closes_in_silence_and_once() -> None:
    links = Links(Identity(0, 7, "shop"), LIMITS, random.Random(1))
    link = links.open("queue:q")
    links.send(link, PIECE, 1, 1, "context")
    assert links.close(link) == ["context"]
    assert links.close(link) == []
    assert said(links) == []


def test_a_serving_end_may_say_goodbye_too() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "kept")
    pair.server.close(served)
    pair.pass_on()
    (ended,) = events(pair.opener)
    assert (ended.code, ended.abandoned) == ("goodbye", [])
    assert pair.opener.violations == 0
    assert pair.server.served == []


def test_a_session_that_the_server_forgot_is_opened_anew_and_nothing_is_lost() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "kept")
    pair.server.unreachable("to-client")
    events(pair.server)
    assert pair.pass_on(1_000) == [Kind.DATA, Kind.RESET, Kind.HELLO, Kind.WELCOME, Kind.DATA]
    assert [type(event) for event in events(pair.opener)] == [Ended, Opened]
    assert [type(event) for event in events(pair.server)] == [Opened, Arrived]
    assert pair.server.served != [served]


def test_one_reset_answers_all_frames_of_a_lost_session_in_a_round() -> None:
    pair = Pair()
    pair.standing()
    for _ in range(5):
        pair.opener.send(pair.link, PIECE, 1)
        for one in said(pair.opener):
            pair.server.receive("to-client", one.frame, 0)
    pair.server.unreachable("to-client")
    for _ in range(5):
        pair.opener.send(pair.link, PIECE, 1)
        for one in said(pair.opener):
            pair.server.receive("to-client", one.frame, 0)
    assert kinds(pair.server) == [Kind.RESET]


@pytest.mark.parametrize("is_open_before", [False, True])
def test_a_peer_that_resets_every_session_is_not_greeted_in_a_hot_loop(is_open_before: bool) -> None:
    pair = Pair()
    if is_open_before:
        pair.standing()
    else:
        said(pair.opener)
    greetings = 0
    for now_ms in range(0, 10_000, 10):
        body = wire.pack_body(Reset(wire.UNKNOWN_SESSION, ""))
        pair.opener.receive("to-server", frame(Kind.RESET, pair.link.session, body), now_ms)
        pair.opener.tick(now_ms)
        greetings += kinds(pair.opener, now_ms).count(Kind.HELLO)
    assert 3 <= greetings <= 6
    assert [event.code for event in events(pair.opener)] == ["unknown_session"] * is_open_before


def test_a_server_that_opens_and_forgets_each_session_is_not_greeted_in_a_hot_loop() -> None:
    pair = Pair()
    greetings = 0
    for now_ms in range(0, 5_000, 10):
        pair.opener.tick(now_ms)
        greetings += pair.pass_on(now_ms).count(Kind.HELLO)
        pair.server.unreachable("to-client")
        pair.opener.send(pair.link, PIECE, 1)
        greetings += pair.pass_on(now_ms).count(Kind.HELLO)
    assert 5 <= greetings <= 11


def test_a_reset_of_no_life_is_believed() -> None:
    pair = Pair()
    pair.standing()
    body = wire.pack_body(Reset("protocol_violation", "what was that?"))
    pair.opener.receive("to-server", frame(Kind.RESET, pair.link.session, body, generation=0), 0)
    (ended,) = events(pair.opener)
    assert (ended.code, ended.text) == ("protocol_violation", "what was that?")


def test_resets_and_goodbyes_of_unknown_sessions_are_not_answered() -> None:
    pair = Pair()
    pair.standing()
    for kind in (Kind.RESET, Kind.BYE):
        pair.server.receive("to-client", frame(kind, 99, b"\xc1"), 0)
        pair.opener.receive("to-server", frame(kind, 99, b"\xc1"), 0)
    assert pair.pass_on() == []


def test_a_violation_ends_the_session_at_both_ends_and_is_final() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "context")
    pair.pass_on()
    events(pair.server)
    pair.server.violate(served, "that is no message")
    assert events(pair.server) == [Ended(served, "protocol_violation", "that is no message", [])]
    pair.pass_on()
    assert events(pair.opener) == [Ended(pair.link, "protocol_violation", "that is no message", ["context"])]
    assert state_of(pair.link) is State.CLOSED
    pair.server.violate(served, "again")
    assert (events(pair.server), pair.server.violations) == ([], 2)


def test_an_opener_tells_a_server_that_broke_the_rules_and_waits_for_its_next_life() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "kept")
    pair.opener.violate(pair.link, "that is no message")
    assert events(pair.opener) == [Ended(pair.link, "protocol_violation", "that is no message", [])]
    pair.pass_on()
    assert [(event.link, event.code) for event in events(pair.server)] == [(served, "protocol_violation")]


def test_a_reset_says_at_most_so_much() -> None:
    pair = Pair()
    served = pair.standing()
    pair.server.violate(served, "x" * 100_000)
    pair.pass_on()
    (ended,) = events(pair.opener)
    assert ended.text == "x" * wire.RESET_TEXT_CHARACTERS_MAX


@pytest.mark.parametrize("kind", [Kind.WELCOME, 0, 8, 255])
def test_a_kind_that_does_not_belong_to_a_served_session_ends_it(kind: int) -> None:
    pair = Pair()
    served = pair.standing()
    pair.server.receive("to-client", frame(kind, served.session), 0)
    (ended,) = events(pair.server)
    assert f"kind {int(kind)} does not belong here" in ended.text


def test_a_body_that_cannot_be_read_ends_the_session() -> None:
    pair = Pair()
    served = pair.standing()
    pair.server.receive("to-client", frame(Kind.DATA, served.session, b"\xc1", sequence=1), 0)
    assert [event.code for event in events(pair.server)] == ["protocol_violation"]


def test_an_acknowledgement_of_what_was_never_sent_ends_the_session() -> None:
    pair = Pair()
    served = pair.standing()
    pair.server.receive("to-client", frame(Kind.ACK, served.session, received=1), 0)
    assert [event.code for event in events(pair.server)] == ["protocol_violation"]


def test_noise_of_strangers_is_counted_and_answered() -> None:
    pair = Pair()
    pair.standing()
    for noise in (b"", b"GET / HTTP/1.1\r\n" * 9, frame(Kind.HELLO, 5, b"\xc1")):
        pair.server.receive("stranger", noise, 0)
    assert pair.server.violations == 3
    assert [(one.kind, one.header.session) for one in said(pair.server)] == [(Kind.RESET, 0), (Kind.RESET, 5)]
    assert len(pair.server.served) == 1


def test_two_ends_of_different_versions_part_with_one_word() -> None:
    pair = Pair()
    (hello,) = said(pair.opener)
    pair.server.receive("to-client", hello.frame[:2] + b"\x02" + hello.frame[3:], 0)
    (reset,) = said(pair.server)
    theirs = reset.frame[:2] + b"\x02" + reset.frame[3:]
    pair.opener.receive("to-server", theirs, 0)
    (ended,) = events(pair.opener)
    assert "protocol version 2, this side speaks 1" in ended.text
    assert pair.opener.violations == 1
    said(pair.opener)
    pair.opener.receive("to-server", theirs, 0)
    assert (events(pair.opener), said(pair.opener)) == ([], [])
