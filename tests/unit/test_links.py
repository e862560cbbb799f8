"""Links in a standing session, by example: who is there, what is acknowledged, what was lost."""

from __future__ import annotations

import random
from typing import Any

from posthouse.transport import links as links_module
from posthouse.transport.limits import Limits
from posthouse.transport.link import RETRY_MS_MIN
from posthouse.transport.links import Arrived, Ended, Identity, Links, Opened, Settled, State
from posthouse.transport.wire import FLAG_GAP, FLAG_PONG, Kind
from tests.support.link_pair import PIECE, Pair, events, frame, kinds, said, state_of, times_of_asking


def test_unreachable_while_greeting_closes_the_link_until_the_same_life_is_named_again() -> None:
    pair = Pair()
    pair.opener.unreachable("elsewhere")
    assert state_of(pair.link) is State.GREETING
    pair.opener.unreachable("to-server")
    assert state_of(pair.link) is State.CLOSED
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


def test_messages_arrive_and_their_contexts_come_back_when_they_are_settled() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "one")
    pair.opener.send(pair.link, PIECE, 1, 1, "two")
    assert pair.pass_on() == [Kind.DATA]
    (arrived,) = pair.server.events
    assert isinstance(arrived, Arrived)
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
    arrived, settled = events(pair.opener)
    assert isinstance(arrived, Arrived), "what was said comes before the word that it is settled"
    assert settled == Settled(pair.link, ["one"])


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
        pair.opener.send(pair.link, b"\xc5\x03\x84" + bytes(900), 903)
    pair.pass_on()
    assert pair.link.sender.backlog_messages == 1
    pair.server.tick(100)
    assert pair.pass_on() == [Kind.ACK]  # tells the receipt, so that what follows tells the room alone
    pair.settle_all(pair.server)
    pair.pass_on()
    assert pair.link.sender.backlog_messages == 0
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
    told: list[Any] = []
    for now_ms in range(200, 1_200, 100):
        pair.server.send(served, PIECE, 1)
        pair.opener.tick(now_ms)
        pair.pass_on(now_ms)
        told += [event for event in pair.opener.events if isinstance(event, Settled)]
        pair.settle_all(pair.opener)
    assert told == [Settled(pair.link, [2])]


def test_while_no_receipt_comes_a_slow_pinger_asks_with_growing_pauses() -> None:
    pair = Pair(limits=Limits(ping_interval_ms=60_000))
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1)
    said(pair.opener)
    asked = times_of_asking(pair.opener, range(0, 16_000, 100))
    assert asked == [500, 1_000, 2_000, 4_000, 8_000, 12_000]


def test_while_no_receipt_comes_nobody_asks_less_often_than_an_idle_end() -> None:
    pair = Pair()
    pair.standing()
    pair.opener.send(pair.link, PIECE, 1)
    said(pair.opener)
    asked = times_of_asking(pair.opener, range(0, 3_000, 100))
    assert asked == [500, 1_000, 1_500, 2_000, 2_500]


# ---- "settled" never outruns what was said before it ----


def test_a_word_of_settlement_counts_only_when_everything_said_before_it_has_arrived() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "batch")
    pair.pass_on()
    pair.server.send(served, PIECE, 1)
    said(pair.server)  # the receipt is lost
    pair.settle_all(pair.server)
    (ack,) = said(pair.server)
    assert (ack.kind, ack.header.settled, ack.header.messages) == (Kind.ACK, 1, 1)
    pair.opener.receive("to-server", ack.frame, 0)
    assert events(pair.opener) == []
    for links in (pair.opener, pair.server):
        links.tick(600)
    pair.pass_on(600)
    arrived, settled = events(pair.opener)
    assert (type(arrived), settled) == (Arrived, Settled(pair.link, ["batch"]))


def test_a_frame_that_is_sent_again_does_not_speak_for_those_behind_it() -> None:
    pair = Pair()
    served = pair.standing()
    for number in (1, 2):
        pair.opener.send(pair.link, PIECE, 1, 1, number)
        pair.pass_on()
        pair.server.send(served, PIECE, 1)
        pair.settle_all(pair.server)
        said(pair.server)  # the receipt is lost, and the word in its header
    pair.server.tick(500)
    for one in said(pair.server, 500):
        pair.opener.receive("to-server", one.frame, 500)
    for one in said(pair.opener, 500):
        pair.server.receive("to-client", one.frame, 500)
    first, second = said(pair.server, 500)
    assert [one.header.settled for one in (first, second)] == [0, 2]
    pair.opener.receive("to-server", first.frame, 500)
    assert [type(event) for event in events(pair.opener)] == [Arrived]
    pair.opener.receive("to-server", second.frame, 500)
    assert events(pair.opener)[-1] == Settled(pair.link, [1, 2])


def test_the_word_in_a_frame_that_came_too_early_does_not_count() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "batch")
    pair.pass_on()
    pair.settle_all(pair.server)
    for _ in range(2):
        pair.server.send(served, PIECE, 1)
        last = said(pair.server)[-1]
    pair.opener.receive("to-server", last.frame, 0)
    assert (last.header.sequence, last.header.settled, events(pair.opener)) == (2, 1, [])


def test_a_word_waits_while_what_was_said_before_it_waits_for_room() -> None:
    pair = Pair()
    served = pair.standing()
    pair.opener.send(pair.link, PIECE, 1, 1, "batch")
    pair.pass_on()
    for _ in range(11):
        pair.server.send(served, PIECE, 1)
    pair.settle_all(pair.server)
    pair.pass_on()
    assert [type(event) for event in pair.opener.events] == [Arrived]
    pair.settle_all(pair.opener)
    pair.pass_on()
    assert events(pair.opener)[-1] == Settled(pair.link, ["batch"])


def test_two_ends_with_full_windows_do_not_wait_for_each_other() -> None:
    pair = Pair()
    served = pair.standing()
    for _ in range(40):
        pair.opener.send(pair.link, PIECE, 1)
        pair.server.send(served, PIECE, 1)
    for _ in range(10):
        pair.pass_on()
        pair.settle_all(pair.server)
        pair.settle_all(pair.opener)
    assert pair.link.sender.is_idle
    assert served.sender.is_idle


def test_an_idle_link_costs_one_ping_and_its_answer_in_each_interval() -> None:
    pair = Pair()
    pair.standing()
    passed: list[Kind] = []
    for now_ms in range(0, 10_000, 100):
        pair.opener.tick(now_ms)
        pair.server.tick(now_ms)
        passed += pair.pass_on(now_ms)
    assert 15 <= passed.count(Kind.PING) <= 20
    assert passed.count(Kind.ACK) == passed.count(Kind.PING) == len(passed) / 2
