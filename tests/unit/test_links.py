"""All links of one end, by example: sessions, generations, goodbyes, PINGs, and who is told what."""

from __future__ import annotations

import random
from typing import Any, Final, NamedTuple, final

import pytest

from posthouse.transport import links as links_module
from posthouse.transport import wire
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import Limits
from posthouse.transport.link import RETRY_MS_MAX, RETRY_MS_MIN
from posthouse.transport.links import Arrived, Ended, Identity, Link, Links, Opened, Settled, State
from posthouse.transport.wire import FLAG_GAP, FLAG_PONG, Header, Hello, Kind, Reset, Welcome

LIMITS: Final = Limits(window_messages=10, window_bytes=10_000, ping_interval_ms=500)
PIECE: Final = b"\x01"


class Said(NamedTuple):
    """A frame that an end wants to send."""

    route: Any
    header: Header
    frame: bytes

    @property
    def kind(self) -> Kind:
        return Kind(self.header.kind)


def said(links: Links, now_ms: int = 0) -> list[Said]:
    return [Said(route, wire.unpack_header(frame), frame) for route, frame in links.flush(now_ms)]


def kinds(links: Links, now_ms: int = 0) -> list[Kind]:
    return [one.kind for one in said(links, now_ms)]


def events(links: Links) -> list[Any]:
    taken, links.events = links.events, []
    return taken


def frame(kind: int, session: int, body: bytes = b"", **fields: int) -> bytes:
    header = Header(kind, fields.pop("generation", 3), session, 0, 0, 0, 0, 0)
    return wire.pack_header(header._replace(**fields)) + body


@final
class Pair:
    """An opening and a serving end, with a wire between them that loses nothing unless it is told to."""

    def __init__(self, *, survives: bool = True, told: int = 3, limits: Limits = LIMITS) -> None:
        self.opener = Links(Identity(0, 7, "shop"), limits, random.Random(1))
        self.server = Links(Identity(3, 0, "queue:q"), limits, random.Random(2))
        self.link = self.opener.open("queue:q", survives=survives)
        self.opener.peer_up("queue:q", told, "to-server", 0)

    def pass_on(self, now_ms: int = 0, *, once: bool = False) -> list[Kind]:
        """Deliver until both fall silent; returns what was said."""
        passed: list[Kind] = []
        while True:
            outward, back = said(self.opener, now_ms), said(self.server, now_ms)
            for one in outward:
                self.server.receive("to-client", one.frame, now_ms)
            for one in back:
                self.opener.receive("to-server", one.frame, now_ms)
            passed += [one.kind for one in outward + back]
            if once or not outward + back:
                return passed

    def standing(self) -> Link:
        """Open the session; returns the serving end's link. Nothing is left to say or to handle."""
        self.pass_on()
        events(self.opener)
        events(self.server)
        (served,) = self.server.served
        return served

    def settle_all(self, links: Links, *, is_waited_for: bool = True) -> None:
        for event in events(links):
            event.is_waited_for = is_waited_for
            links.settle(event)


# ---- greeting ----


def test_a_session_opens_with_hello_and_welcome_and_both_ends_know_each_other() -> None:
    pair = Pair()
    assert pair.link.state is State.GREETING
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
    greeted = [now_ms for now_ms in range(0, 20_000, 50) if not pair.opener.tick(now_ms) and said(pair.opener)]
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
    assert pair.link.state is State.CLOSED
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


# ---- generations ----


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
    assert pair.link.state is State.GREETING


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


# ---- links that do not survive ----


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
    pair.settle_all(pair.server) if isinstance(pair.server.events[0], Arrived) else pair.server.events.pop(0)
    pair.settle_all(pair.server)
    pair.pass_on()
    assert events(pair.opener)[-1] == Settled(pair.link, ["early"])


# ---- who is there ----


def test_unreachable_while_greeting_closes_the_link_until_the_same_life_is_named_again() -> None:
    pair = Pair()
    pair.opener.unreachable("elsewhere")
    assert pair.link.state is State.GREETING
    pair.opener.unreachable("to-server")
    assert pair.link.state is State.CLOSED
    assert [event.code for event in events(pair.opener)] == ["unreachable"]
    said(pair.opener)
    pair.opener.tick(60_000)
    assert said(pair.opener) == []
    pair.opener.peer_up("queue:q", 3, "to-server", 60_000)
    assert pair.pass_on(60_000) == [Kind.BYE, Kind.HELLO, Kind.WELCOME]
    assert events(pair.opener) == [Opened(pair.link)]


def test_a_peer_that_is_down_or_unknown_is_reported_once() -> None:
    pair = Pair()
    pair.opener.peer_down("stranger", "")
    pair.opener.peer_down("queue:q", "it crashed")
    pair.opener.peer_down("queue:q", "it crashed")
    assert [event.code for event in events(pair.opener)] == ["actor_down"]


def test_a_serving_end_that_finds_nobody_ends_the_session_with_what_it_did_not_settle() -> None:
    pair = Pair()
    served = pair.standing()
    pair.server.send(served, PIECE, 1, 1, "delivery")
    pair.server.unreachable("to-client")
    assert events(pair.server) == [Ended(served, "unreachable", "the connection is gone", ["delivery"])]
    assert pair.server.served == []


def test_a_served_session_follows_its_client_to_a_new_connection() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1)
    for one in said(pair.opener):
        pair.server.receive("reconnected", one.frame, 0)
    assert served.route == "reconnected"
    pair.server.unreachable("to-client")
    assert pair.server.served == [served]


def test_a_silent_peer_is_asked_by_the_serving_end_first() -> None:
    pair = Pair()
    pair.standing()
    for links in (pair.opener, pair.server):
        links.tick(499)
    assert pair.pass_on(499) == []
    for links in (pair.opener, pair.server):
        links.tick(500)
    assert pair.pass_on(500) == [Kind.PING, Kind.ACK]
    for links in (pair.opener, pair.server):
        links.tick(750)
    assert pair.pass_on(750) == []


def test_an_opening_end_that_hears_nothing_asks_as_well() -> None:
    pair = Pair()
    pair.standing()
    pair.opener.tick(500)
    assert kinds(pair.opener, 500) == []
    pair.opener.tick(750)
    assert kinds(pair.opener, 750) == [Kind.PING]
    pair.opener.tick(1_499)
    assert kinds(pair.opener, 1_499) == []
    pair.opener.tick(1_500)
    assert kinds(pair.opener, 1_500) == [Kind.PING]


def test_a_ping_of_a_session_that_the_client_gave_up_ends_it_at_the_server() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.close(pair.link)
    assert kinds(pair.opener) == [Kind.BYE]  # and it is lost
    pair.server.tick(500)
    assert pair.pass_on(500) == [Kind.PING, Kind.RESET]
    assert [(event.link, event.code) for event in events(pair.server)] == [(served, "unknown_session")]
    assert pair.server.violations == 0
    assert pair.pass_on(500) == []


# ---- messages and their acknowledgement ----


def test_messages_arrive_and_their_contexts_come_back_when_they_are_settled() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "one")
    pair.opener.send(pair.link, PIECE, 1, 1, "two")
    assert pair.pass_on() == [Kind.DATA]
    (arrived,) = pair.server.events
    assert (arrived.link, arrived.sequence, len(arrived.pieces), arrived.messages) == (served, 1, 2, 2)
    pair.settle_all(pair.server)
    assert pair.pass_on() == [Kind.ACK]
    assert events(pair.opener) == [Settled(pair.link, ["one", "two"])]


def test_where_nobody_waits_the_word_travels_at_the_next_tick() -> None:
    pair = Pair()
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "one")
    pair.pass_on()
    pair.settle_all(pair.server, is_waited_for=False)
    assert pair.pass_on() == []
    pair.server.tick(100)
    assert pair.pass_on(100) == [Kind.ACK]
    assert events(pair.opener) == [Settled(pair.link, ["one"])]
    pair.server.tick(200)
    assert pair.pass_on(200) == []


def test_a_late_settlement_is_told_even_when_its_receipt_was_told_before() -> None:
    pair = Pair()
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "one")
    pair.pass_on()
    pair.server.tick(100)
    assert pair.pass_on(100) == [Kind.ACK]
    pair.settle_all(pair.server, is_waited_for=False)
    pair.server.tick(200)
    assert pair.pass_on(200) == [Kind.ACK]
    assert events(pair.opener) == [Settled(pair.link, ["one"])]


def test_many_frames_are_acknowledged_before_the_tick() -> None:
    pair = Pair(limits=Limits())
    pair.standing()
    for _ in range(links_module.LAZY_ACK_CHANGES // 2):
        assert events(pair.opener) == []
        pair.opener.send(pair.link, PIECE, 1, 1, "context")
        pair.pass_on()
        pair.settle_all(pair.server, is_waited_for=False)
        passed = pair.pass_on()
    assert passed == [Kind.ACK]
    assert len(events(pair.opener)[0].contexts) == links_module.LAZY_ACK_CHANGES // 2


def test_data_of_the_other_direction_carries_the_acknowledgement() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "one")
    pair.pass_on()
    pair.settle_all(pair.server)
    pair.server.send(served, PIECE, 1)
    assert pair.pass_on() == [Kind.DATA]
    assert events(pair.opener)[0] == Settled(pair.link, ["one"])


def test_ranges_travel_beside_data_since_its_header_cannot_say_them() -> None:
    pair = Pair()
    served = pair.standing()
    for number in (1, 2):
        pair.opener.send(pair.link, PIECE, 1, 1, number)
        pair.pass_on()
    second = events(pair.server)[1]
    second.is_waited_for = True
    pair.server.settle(second)
    pair.server.send(served, PIECE, 1)
    assert pair.pass_on() == [Kind.DATA, Kind.ACK]
    assert events(pair.opener)[-1] == Settled(pair.link, [2])


def test_what_is_settled_twice_counts_once() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1)
    pair.pass_on()
    (arrived,) = events(pair.server)
    pair.server.settle(arrived)
    pair.server.settle(arrived)
    assert served.unacked_frames == 2


def test_room_in_the_window_wakes_what_waits_even_where_no_context_comes_back() -> None:
    pair = Pair()
    pair.standing()
    for _ in range(11):
        pair.opener.send(pair.link, b"x" * 900, 900)
    pair.pass_on()
    assert pair.link.sender.has_backlog
    pair.settle_all(pair.server)
    pair.pass_on()
    assert not pair.link.sender.has_backlog
    assert events(pair.opener) == []


def test_a_peer_that_overruns_its_window_loses_its_session() -> None:
    pair = Pair()
    served = pair.standing()
    for sequence in (1, 2):
        data = frame(Kind.DATA, served.session, b"\x91\xc5\x17\x70" + bytes(6_000), sequence=sequence)
        pair.server.receive("to-client", data, 0)
    _, ended = events(pair.server)
    assert "are unsettled, its window is 10 and 10000" in ended.text


def test_the_window_of_the_welcome_rules_and_not_our_own() -> None:
    pair = Pair()
    pair.server = Links(Identity(3, 0, "queue:q"), Limits(window_bytes=1 << 20), random.Random(2))
    served = pair.standing()
    for _ in range(3):
        pair.server.send(served, b"\xc5\x17\x70" + bytes(6_000), 6_003)
        pair.pass_on()
    assert [type(event) for event in events(pair.opener)] == [Arrived] * 3
    assert pair.opener.violations == 0


# ---- losses ----


def test_a_gap_is_reported_and_filled_and_what_was_seen_is_dropped() -> None:
    pair = Pair()
    pair.standing()
    for number in (1, 2, 3):
        pair.opener.send(pair.link, bytes((number,)), 1, 1, number)
    lost = said(pair.opener)
    pair.opener.send(pair.link, b"\x04", 1, 1, 4)
    (early,) = said(pair.opener)
    pair.server.receive("to-client", early.frame, 0)
    (gap,) = said(pair.server)
    assert (gap.header.flags, gap.header.sequence, gap.header.received) == (FLAG_GAP, 2, 0)
    pair.opener.receive("to-server", gap.frame, 1_000)
    assert pair.pass_on(1_000) == [Kind.DATA, Kind.DATA]
    assert [event.sequence for event in events(pair.server)] == [1, 2]
    pair.server.receive("to-client", lost[0].frame, 1_000)
    assert events(pair.server) == []
    assert pair.pass_on(1_000) == [Kind.ACK]


def test_a_loss_that_nobody_saw_is_found_by_asking() -> None:
    pair = Pair()
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "lost")
    assert kinds(pair.opener) == [Kind.DATA]
    pair.opener.tick(RETRY_MS_MIN)
    (ping,) = said(pair.opener, RETRY_MS_MIN)
    assert (ping.kind, ping.header.sequence) == (Kind.PING, 1)
    pair.server.receive("to-client", ping.frame, RETRY_MS_MIN)
    (pong,) = said(pair.server, RETRY_MS_MIN)
    assert (pong.header.flags, pong.header.sequence, pong.header.received) == (FLAG_PONG, 1, 0)
    pair.opener.receive("to-server", pong.frame, RETRY_MS_MIN)
    assert pair.pass_on(RETRY_MS_MIN) == [Kind.DATA]
    assert len(events(pair.server)) == 1


def test_a_lost_settlement_is_found_by_asking_though_the_peer_keeps_talking() -> None:
    pair = Pair()
    served = pair.standing()
    for number in (1, 2):
        pair.opener.send(pair.link, PIECE, 1, 1, number)
        pair.pass_on()
    pair.server.settle(events(pair.server)[1])
    pair.server.tick(100)
    assert kinds(pair.server, 100) == [Kind.ACK]  # and it is lost
    asked: list[Kind] = []
    for now_ms in range(200, 1_200, 100):
        pair.server.send(served, PIECE, 1)
        pair.opener.tick(now_ms)
        asked += pair.pass_on(now_ms)
        pair.settle_all(pair.opener) if isinstance(pair.opener.events[0], Arrived) else None
        if Kind.PING in asked:
            break
    assert Settled(pair.link, [2]) in events(pair.opener)


def test_while_no_receipt_comes_a_slow_pinger_asks_with_growing_pauses() -> None:
    pair = Pair(limits=Limits(ping_interval_ms=60_000))
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1)
    said(pair.opener)
    asked = [at for at in range(0, 16_000, 100) if not pair.opener.tick(at) and said(pair.opener, at)]
    assert asked == [500, 1_000, 2_000, 4_000, 8_000, 12_000]


def test_while_no_receipt_comes_nobody_asks_less_often_than_an_idle_end() -> None:
    pair = Pair()
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1)
    said(pair.opener)
    asked = [at for at in range(0, 3_000, 100) if not pair.opener.tick(at) and said(pair.opener, at)]
    assert asked == [500, 1_000, 1_500, 2_000, 2_500]


# ---- endings ----


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


# ---- violations ----


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
    assert pair.link.state is State.CLOSED
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
