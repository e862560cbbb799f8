"""The page of connections: who is shown, with whom each talks, and how seldom everybody is asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from posthouse import aio
from posthouse.transport.messages_sessions import ConnectionInfo, SessionInfo
from posthouse.web.pages.connected import FRESH_S, REST_TIMES, Connected
from posthouse.web.pages.connections import PARTNERS_MAX, is_wanted, row_of
from tests.support.page_broker import ANSWERS, NOW_MS, PageBroker, app_of
from tests.support.web_client import ask


def connection(*actors: str, **more: Any) -> ConnectionInfo:
    sessions = tuple(SessionInfo(actor=actor, client_id=1, client="shop") for actor in actors)
    return ConnectionInfo(client_id=1, client="shop", via="ipc", sessions=sessions, since_ms=NOW_MS, **more)


def test_each_is_shown_with_the_pages_of_whom_it_talks_to_but_the_registry() -> None:
    actors = ("registry", "queue:a/b", "exchange:", "exchange:flights", "dead-letter")
    row = row_of(connection(*actors, program="shop.py", pid=7, host="alpha"), NOW_MS)
    assert [partner.href for partner in row.partners] == [
        "/queue?name=a%2Fb", "/exchange", "/exchange?name=flights", "/dead-letters",
    ]  # fmt: skip
    assert (row.program, row.where, row.more) == ("shop.py [7]", "alpha", 0)


def test_of_many_actors_the_first_are_named_and_the_others_counted() -> None:
    row = row_of(connection(*(f"queue:{number}" for number in range(PARTNERS_MAX + 3))), NOW_MS)
    assert (len(row.partners), row.more) == (PARTNERS_MAX, 3)


def test_it_is_found_by_whatever_is_known_of_it() -> None:
    one = connection("queue:newark", program="Shop.py", host="alpha", remote="192.0.2.7")
    assert all(is_wanted(one, text) for text in ("", "sho", "shop.py", "alph", "192.0", "ipc", "newark"))
    assert not is_wanted(one, "elsewhere")


def test_the_page_lists_those_that_were_searched_for_and_says_how_many_there_are() -> None:
    broker = PageBroker({**ANSWERS, "connections": [connection("queue:newark"), connection("queue:ewr")]})
    html = ask(app_of(broker), "GET", "/connections?q=newark", headers={"accept": "text/html"}).text
    assert "1 of 2 connections" in html
    assert "/queue?name=newark" in html
    assert "/queue?name=ewr" not in html


def test_pages_that_are_open_share_an_answer_and_a_slow_one_is_asked_for_less_often() -> None:
    now_s = 0.0
    asked: list[float] = []

    class Slow:
        async def connections(self) -> list[ConnectionInfo]:
            nonlocal now_s
            asked.append(now_s)
            now_s += 1.0
            return [connection("queue:newark")]

    async def look() -> None:
        nonlocal now_s
        connected = Connected(lambda: now_s)
        broker = cast("aio.Broker", Slow())
        await asyncio.gather(connected.take(broker), connected.take(broker))
        assert asked == [0.0]
        now_s += FRESH_S
        await connected.take(broker)
        assert asked == [0.0]
        now_s = 1.0 + REST_TIMES
        assert len(await connected.take(broker)) == 1
        assert asked == [0.0, 1.0 + REST_TIMES]

    asyncio.run(look())
