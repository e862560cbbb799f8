"""How sessions begin, by example: greetings, generations, and what goes on into the next one."""

from __future__ import annotations

import random

import pytest

from posthouse.transport import links as links_module
from posthouse.transport import wire
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import Limits
from posthouse.transport.link import RETRY_MS_MAX
from posthouse.transport.links import Ended, Identity, Links, Opened, Settled, State
from posthouse.transport.wire import Hello, Kind, Welcome
from tests.support.link_pair import LIMITS, PIECE, Pair, events, frame, kinds, said, state_of, times_of_asking


def test_a_session_opens_with_hello_and_welcome_and_both_ends_know_each_other() -> None:
    pair = Pair()
    assert state_of(pair.link) is State.GREETING
    assert pair.pass_on() == [Kind.HELLO, Kind.WELCOME]
    assert events(pair.opener) == [Opened(pair.link)]
    (served,) = pair.server.served
    assert events(pair.server) == [Opened(served)]
    assert (served.target, served.client_id, served.client_name) == ("queue:q", 7, "shop")
    assert (served.session, served.generation, served.is_opener) == (pair.link.session, 3, False)
    assert pair.link.state is served.state is State.OPEN
    assert pair.link.limits == LIMITS
    assert pair.opener.served == []


def test_links_are_opened_once_by_target() -> None:
    links = Links(Identity(0, 7, "shop"), LIMITS, random.Random(1))
    assert not links.is_open("a")
    assert links.open("a") is links.open("a")
    assert links.is_open("a")
    assert links.all_opened() == [links.open("a")]


def test_a_name_that_no_hello_can_carry_is_refused() -> None:
    Links(Identity(0, 7, "é" * 256), LIMITS, random.Random(1))
    with pytest.raises(InvalidArgument, match="512 bytes"):
        Links(Identity(0, 7, "é" * 257), LIMITS, random.Random(1))


def test_nobody_is_greeted_before_it_is_known_where_it_lives() -> None:
    links = Links(Identity(0, 7, "shop"), LIMITS, random.Random(1))
    links.peer_up("stranger", 1, "route", 0)
    link = links.open("queue:q")
    links.send(link, PIECE, 1)
    links.tick(10_000)
    assert said(links) == []
    assert link.state is State.CLOSED


def test_a_lost_hello_is_repeated_with_growing_pauses() -> None:
    pair = Pair()
    greeted = times_of_asking(pair.opener, range(0, 20_000, 50))
    assert greeted == [0, 250, 750, 1_750, 3_750, 7_750, 11_750, 15_750, 19_750]
    assert greeted[-1] - greeted[-2] == RETRY_MS_MAX


def test_a_lost_welcome_comes_again_with_the_next_hello_and_opens_nothing_twice() -> None:
    pair = Pair()
    (hello,) = said(pair.opener)
    pair.server.receive("to-client", hello.frame, 0)
    said(pair.server)
    pair.opener.tick(250)
    assert pair.pass_on(250) == [Kind.HELLO, Kind.WELCOME]
    assert len(pair.server.served) == 1
    assert events(pair.server) == [Opened(pair.server.served[0])]


def test_repeated_hellos_and_welcomes_disturb_no_standing_session() -> None:
    pair = Pair()
    (hello,) = said(pair.opener)
    for _ in range(2):
        pair.server.receive("to-client", hello.frame, 0)
    for welcome in said(pair.server):
        pair.opener.receive("to-server", welcome.frame, 0)
    assert events(pair.opener) == [Opened(pair.link)]
    assert len(events(pair.server)) == 1
    pair.opener.send(pair.link, PIECE, 1)
    assert pair.pass_on() == [Kind.DATA]


def test_a_hello_that_was_on_its_way_opens_no_session_that_has_ended() -> None:
    pair = Pair()
    (hello,) = said(pair.opener)
    pair.server.receive("to-client", hello.frame, 0)
    pair.pass_on()
    pair.server.unreachable("to-client")
    events(pair.server)
    pair.server.receive("to-client", hello.frame, 0)
    assert events(pair.server) == []
    assert kinds(pair.server) == [Kind.RESET]


def test_ended_sessions_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "ENDED_REMEMBERED", 2)
    server = Links(Identity(3, 0, "queue:q"), LIMITS, random.Random(1))
    body = wire.pack_body(Hello("queue:q", 7, "shop"))
    for session in (1, 2, 3):
        server.receive("c", frame(Kind.HELLO, session, body), 0)
        server.receive("c", frame(Kind.BYE, session), 0)
    said(server)
    for session in (1, 2, 3):
        server.receive("c", frame(Kind.HELLO, session, body), 0)
    assert sorted(kinds(server)) == [Kind.WELCOME, Kind.RESET, Kind.RESET]
    assert [link.session for link in server.served] == [1]


def test_sessions_beyond_the_limit_are_refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "SERVED_MAX", 0)
    pair = Pair()
    pair.opener.send(pair.link, PIECE, 1, 1, "context")
    pair.pass_on()
    (ended,) = events(pair.opener)
    assert (ended.code, ended.abandoned) == ("not_done", ["context"])
    assert "0 sessions are served" in ended.text
    assert state_of(pair.link) is State.CLOSED
    assert pair.link.survives


def test_a_welcome_that_cannot_be_believed_ends_the_greeting() -> None:
    pair = Pair()
    body = wire.pack_body(Welcome(Limits(window_bytes=0)))
    pair.opener.receive("to-server", frame(Kind.WELCOME, pair.link.session, body), 0)
    (ended,) = events(pair.opener)
    assert "window_bytes 0" in ended.text
    assert pair.opener.violations == 1


@pytest.mark.parametrize("generation", [0, 3])
def test_a_client_serves_nobody(generation: int) -> None:
    client = Links(Identity(0, 7, "shop"), LIMITS, random.Random(1))
    body = wire.pack_body(Hello("queue:q", 7, "shop"))
    client.receive("r", frame(Kind.HELLO, 9, body, generation=generation), 0)
    (reset,) = said(client)
    assert wire.unpack_reset(reset.frame).code == wire.UNKNOWN_SESSION
    assert client.served == []


def test_a_hello_with_no_session_or_with_one_of_ours_is_a_violation() -> None:
    pair = Pair()
    body = wire.pack_body(Hello("queue:q", 7, "shop"))
    pair.server.receive("c", frame(Kind.HELLO, 0, body), 0)
    assert pair.server.violations == 1
    assert pair.server.served == []
    pair.opener.receive("to-server", frame(Kind.HELLO, pair.link.session, body), 0)
    (ended,) = events(pair.opener)
    assert ended.code == "protocol_violation"


def test_a_life_that_was_not_named_is_learnt_from_its_welcome() -> None:
    pair = Pair(told=0)
    assert pair.link.generation == 0
    pair.opener.send(pair.link, PIECE, 1)
    assert pair.pass_on() == [Kind.HELLO, Kind.WELCOME, Kind.DATA]
    assert pair.link.generation == 3
    pair.opener.peer_up("queue:q", 0, "to-server", 0)
    pair.opener.peer_up("queue:q", 3, "to-server", 0)
    assert kinds(pair.opener) == []


def test_whoever_answers_next_is_learnt_as_well() -> None:
    pair = Pair(told=0)
    pair.standing()
    pair.server = Links(Identity(4, 0, "queue:q"), LIMITS, random.Random(3))
    pair.opener.send(pair.link, PIECE, 1, 1, "context")
    assert pair.pass_on(1_000) == [Kind.DATA, Kind.RESET, Kind.HELLO, Kind.WELCOME, Kind.DATA]
    assert pair.link.generation == 4
    assert [type(event) for event in events(pair.opener)] == [Ended, Opened]


def test_what_overtakes_the_first_welcome_is_left_for_later() -> None:
    pair = Pair(told=0)
    (hello,) = said(pair.opener)
    pair.server.receive("to-client", hello.frame, 0)
    (served,) = pair.server.served
    pair.server.send(served, PIECE, 1)
    welcome, data = said(pair.server)
    pair.opener.receive("to-server", data.frame, 0)
    assert (events(pair.opener), kinds(pair.opener)) == ([], [])
    pair.opener.receive("to-server", welcome.frame, 0)
    assert events(pair.opener) == [Opened(pair.link)]


def test_data_that_overtakes_the_welcome_of_a_named_life_is_left_for_later() -> None:
    pair = Pair()
    pair.opener.receive("to-server", frame(Kind.DATA, pair.link.session, b"\x90", sequence=1), 0)
    assert events(pair.opener) == []


def test_frames_for_another_life_are_never_accepted() -> None:
    pair = Pair()
    served = pair.standing()
    for kind in (Kind.DATA, Kind.ACK, Kind.PING, Kind.WELCOME):
        pair.server.receive("to-client", frame(kind, served.session, b"\x90", generation=2, sequence=1), 0)
    assert events(pair.server) == []
    (reset,) = said(pair.server)
    assert (reset.kind, reset.header.generation) == (Kind.RESET, 2)
    pair.server.receive("to-client", frame(Kind.BYE, served.session, generation=2), 0)
    pair.server.receive("to-client", frame(Kind.RESET, served.session, generation=2), 0)
    assert (events(pair.server), kinds(pair.server)) == ([], [])
    assert pair.server.served == [served]


def test_a_hello_to_another_life_is_answered_with_unknown_session() -> None:
    pair = Pair(told=2)
    assert pair.pass_on() == [Kind.HELLO, Kind.RESET]
    assert events(pair.opener) == []
    assert state_of(pair.link) is State.GREETING


def test_older_lives_are_ignored_and_newer_ones_greeted() -> None:
    pair = Pair()
    pair.standing()
    pair.opener.peer_up("queue:q", 2, "old", 0)
    assert kinds(pair.opener) == []
    pair.opener.peer_up("queue:q", 4, "new", 0)
    (ended,) = events(pair.opener)
    assert (ended.code, ended.abandoned) == ("replaced", [])
    bye, hello = said(pair.opener)
    assert (bye.kind, bye.header.generation, bye.route) == (Kind.BYE, 3, "new")
    assert (hello.kind, hello.header.generation, hello.route) == (Kind.HELLO, 4, "new")
    assert bye.header.session != hello.header.session


def test_the_same_news_of_a_peer_changes_nothing() -> None:
    pair = Pair()
    pair.opener.peer_up("queue:q", 3, "to-server", 0)
    assert pair.pass_on() == [Kind.HELLO, Kind.WELCOME]
    pair.opener.peer_up("queue:q", 3, "to-server", 0)
    assert pair.pass_on() == []


def test_another_way_to_the_same_life_ends_the_session_on_the_old_one() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.peer_up("queue:q", 3, "another", 0)
    assert pair.pass_on() == [Kind.BYE, Kind.HELLO, Kind.WELCOME]
    ended, opened = events(pair.server)
    assert (ended.link, ended.code) == (served, "goodbye")
    assert opened.link in pair.server.served


def test_a_new_life_gets_everything_unsettled_again_in_order() -> None:
    pair = Pair()
    pair.standing()
    for number in range(3):
        pair.opener.send(pair.link, bytes((number,)), 1, 1, number)
        pair.pass_on()
    first, second, third = events(pair.server)
    second.is_waited_for = True
    pair.server.settle(second)
    pair.pass_on()
    assert events(pair.opener) == [Settled(pair.link, [1])]
    pair.server = Links(Identity(4, 0, "queue:q"), LIMITS, random.Random(3))
    pair.opener.peer_down("queue:q", "it crashed")
    assert events(pair.opener) == [Ended(pair.link, "actor_down", "it crashed", [])]
    pair.opener.send(pair.link, b"\x03", 1, 1, 3)
    pair.opener.peer_up("queue:q", 4, "to-server", 0)
    pair.pass_on()
    _, arrived = events(pair.server)
    assert [bytes(piece) for piece in arrived.pieces] == [b"\x00", b"\x02", b"\x03"]
    arrived.is_waited_for = True
    pair.server.settle(arrived)
    pair.pass_on()
    assert events(pair.opener) == [Opened(pair.link), Settled(pair.link, [0, 2, 3])]
    assert (first.sequence, third.sequence) == (1, 3)


def test_settling_in_a_session_that_is_over_settles_nothing_in_the_next() -> None:
    pair = Pair()
    served = pair.standing()
    pair.server.send(served, PIECE, 1)
    pair.pass_on()
    (arrived,) = events(pair.opener)
    pair.opener.unreachable("to-server")
    pair.opener.peer_up("queue:q", 3, "to-server", 0)
    pair.pass_on()
    pair.opener.settle(arrived)
    assert pair.link.receiver.settled == 0


def test_a_link_that_does_not_survive_returns_what_its_session_left_unsettled() -> None:
    pair = Pair(survives=False)
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "in flight")
    pair.pass_on()
    pair.opener.send(pair.link, PIECE, 1, 1, "waiting")
    pair.opener.unreachable("to-server")
    (ended,) = events(pair.opener)
    assert (ended.code, ended.abandoned) == ("unreachable", ["in flight", "waiting"])


def test_what_is_offered_while_no_session_stands_waits_for_the_next_one() -> None:
    pair = Pair(survives=False)
    pair.opener.unreachable("to-server")
    pair.opener.send(pair.link, PIECE, 1, 1, "early")
    pair.opener.peer_up("queue:q", 3, "to-server", 0)
    pair.opener.peer_up("queue:q", 3, "another", 0)
    pair.pass_on()
    pair.settle_all(pair.server)
    pair.pass_on()
    assert events(pair.opener)[-1] == Settled(pair.link, ["early"])
