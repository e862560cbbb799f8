"""When links are looked at: what an idle one costs, and when the next look is due."""

from __future__ import annotations

import random

import pytest

from posthouse.transport.links import NEVER_MS, Identity, Links
from posthouse.transport.wire import Kind
from tests.support.link_pair import LIMITS, PIECE, Pair, said


def idle_for(pair: Pair, duration_ms: int) -> list[Kind]:
    """What both ends say while nobody asks anything of them."""
    passed: list[Kind] = []
    for now_ms in range(0, duration_ms, 100):
        pair.opener.tick(now_ms)
        pair.server.tick(now_ms)
        passed += pair.pass_on(now_ms)
    return passed


def test_an_idle_link_costs_one_ping_and_its_answer_in_each_interval() -> None:
    pair = Pair()
    pair.standing()
    passed = idle_for(pair, 10_000)
    assert 15 <= passed.count(Kind.PING) <= 20
    assert passed.count(Kind.ACK) == passed.count(Kind.PING) == len(passed) / 2


def test_between_actors_an_idle_link_is_asked_about_rarely() -> None:
    pair = Pair(client_id=0)
    pair.standing()
    passed = idle_for(pair, 8 * 10_000)
    assert 15 <= passed.count(Kind.PING) <= 20
    assert passed.count(Kind.ACK) == passed.count(Kind.PING) == len(passed) / 2


def test_a_tick_tells_when_the_next_is_due() -> None:
    pair = Pair()
    pair.standing()
    assert pair.server.tick(100) == 500
    assert pair.server.is_stirred
    pair.server.is_stirred = False
    assert pair.server.tick(500) == 1_000
    pair.pass_on(500)
    assert not pair.server.is_stirred, "a PING and its answer change nothing that was planned"
    assert pair.server.tick(600) == 1_000
    assert Links(Identity(1, 0, "alone"), LIMITS, random.Random(1)).tick(0) == NEVER_MS


@pytest.mark.parametrize("is_server", [False, True])
def test_what_may_make_a_tick_due_sooner_stirs(is_server: bool) -> None:
    pair = Pair()
    served = pair.standing()
    sender, link = (pair.server, served) if is_server else (pair.opener, pair.link)
    receiver = pair.opener if is_server else pair.server
    sender.tick(100)
    sender.is_stirred = receiver.is_stirred = False
    sender.send(link, PIECE, 1)
    (data,) = said(sender, 100)
    assert sender.is_stirred, "what was sent may have to be sent again"
    sender.is_stirred = False
    receiver.receive("to-client" if receiver is pair.server else "to-server", data.frame, 100)
    assert receiver.is_stirred, "an acknowledgement is put off"
