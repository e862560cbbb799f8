"""What programs ask about recurring schedules: both clients ask the same, and refuse the same before it is sent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, final

import pytest

from posthouse import aio_delayed, delayed
from posthouse.requests import Request
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import NIL
from posthouse.transport.messages_recurring import (
    ListRecurring,
    PauseRecurring,
    RecurringInfo,
    Repeat,
    StopRecurring,
)
from posthouse.transport.names import DELAY, encode_headers

SOON = datetime(2027, 1, 31, tzinfo=UTC)
SOON_MS = 1_801_353_600_000
INFO = RecurringInfo(schedule_id=3, key="k", exchange="e", routing_key="r", size=2, every_ms=1_500, next_ms=(SOON_MS,))


@final
class Asked:
    """Notes what the scheduler would be asked; `delayed` is a client's, with all its methods blocking."""

    def __init__(self, is_awaited: bool, answer: Any = None) -> None:
        self.requests: list[Any] = []
        self.removals: list[bool] = []
        self._answer = answer
        self._twin = aio_delayed.Delayed(self._awaited)
        self.delayed: Any = self if is_awaited else delayed.Delayed(self._now)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Coroutine[Any, Any, Any]] = getattr(self._twin, name)
        return lambda *given, **named: asyncio.run(method(*given, **named))

    def _now(self, request: Request[Any]) -> Any:
        assert request.target == DELAY
        self.requests.append(request.make(1))
        self.removals.append(request.is_removal)
        return self._answer

    async def _awaited(self, request: Request[Any]) -> Any:
        return self._now(request)


both = pytest.mark.parametrize("is_awaited", [False, True], ids=["blocking", "asyncio"])


@both
def test_a_wish_says_all_it_was_given_and_the_answer_has_moments(is_awaited: bool) -> None:
    asked = Asked(is_awaited, INFO)
    made = asked.delayed.repeat("e", b"go", key="k", every_s=1.5)
    asked.delayed.repeat(
        "", bytearray(b"go"), key="k", cron="* * * * *", zone="UTC", routing_key="q", headers={"a": 1},
        start_at=SOON, until=SOON, max_count=2, misfire="all",
    )  # fmt: skip
    assert asked.requests == [
        Repeat(1, "k", "e", "", NIL, memoryview(b"go"), 1_500),
        Repeat(
            1, "k", "", "q", encode_headers({"a": 1}), memoryview(b"go"),
            None, "* * * * *", "UTC", SOON_MS, SOON_MS, 2, "all",
        ),
    ]  # fmt: skip
    assert (made.schedule_id, made.every_s, made.next_at, made.until) == ("3", 1.5, (SOON,), None)


@both
def test_schedules_are_listed_stopped_paused_and_resumed_by_name(is_awaited: bool) -> None:
    asked = Asked(is_awaited, [INFO])
    assert [found.key for found in asked.delayed.recurring()] == ["k"]
    for call in (asked.delayed.stop, asked.delayed.pause, asked.delayed.resume):
        call("k")
    assert asked.requests == [
        ListRecurring(1),
        StopRecurring(1, "k"),
        PauseRecurring(1, "k", True),
        PauseRecurring(1, "k", False),
    ]
    assert asked.removals == [False, True, False, False]


WRONG: tuple[dict[str, Any], ...] = (
    {"every_s": None},
    {"cron": "* * * * *"},
    {"every_s": 0},
    {"every_s": -5},
    {"every_s": 0.05},
    {"every_s": math.nan},
    {"every_s": math.inf},
    {"every_s": 1e300},
    {"every_s": 10**400},
    {"every_s": True},
    {"every_s": "5m"},
    {"every_s": None, "cron": ""},
    {"every_s": None, "cron": 5},
    {"every_s": None, "cron": "*" * 300},
    {"every_s": None, "cron": "* * * * \ud800"},
    {"every_s": None, "cron": "* * * * *", "zone": ""},
    {"every_s": None, "cron": "* * * * *", "zone": 2},
    {"zone": "UTC"},
    {"key": ""},
    {"key": 5},
    {"key": "x" * 256},
    {"key": "\ud800"},
    {"key": "a\nb"},
    {"start_at": datetime(2027, 1, 31)},
    {"until": datetime(2027, 1, 31)},
    {"until": 5},
    {"max_count": 0},
    {"max_count": -1},
    {"max_count": 1.5},
    {"max_count": True},
    {"max_count": 1 << 70},
    {"misfire": "sometimes"},
    {"misfire": None},
    {"misfire": ["once"]},
    {"routing_key": "x" * 256},
    {"headers": {"a": object()}},
    {"exchange": 5},
    {"body": "text"},
    {"body": None},
)


@both
@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_a_wish_that_makes_no_sense_is_refused_before_anybody_is_asked(is_awaited: bool, wrong: dict[str, Any]) -> None:
    asked = Asked(is_awaited, INFO)
    wishes = {"exchange": "e", "body": b"go", "key": "k", "every_s": 5, **wrong}
    with pytest.raises(InvalidArgument):
        asked.delayed.repeat(wishes.pop("exchange"), wishes.pop("body"), **wishes)
    assert asked.requests == []


@both
@pytest.mark.parametrize("name", ["", None, 5, "x" * 300, "\ud800"])
def test_a_name_that_is_none_is_refused_before_anybody_is_asked(is_awaited: bool, name: Any) -> None:
    asked = Asked(is_awaited)
    for call in (asked.delayed.stop, asked.delayed.pause, asked.delayed.resume):
        with pytest.raises(InvalidArgument):
            call(name)
    assert asked.requests == []
