"""What programs ask of the delay scheduler: both clients ask the same, and refuse the same before anybody is asked."""

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
from posthouse.transport.messages_delay import (
    CancelDelayed,
    DelayedInfo,
    DelayInfo,
    DelayStatus,
    FireDelayed,
    ListDelayed,
    RescheduleDelayed,
)
from posthouse.transport.names import DELAY

SOON = datetime(2027, 1, 31, tzinfo=UTC)
SOON_MS = 1_801_353_600_000


@final
class Asked:
    """Notes what the scheduler would be asked; `delayed` is a client's, with all its methods blocking."""

    def __init__(self, is_awaited: bool, answer: Any = None) -> None:
        self.requests: list[Any] = []
        self.removals: list[bool] = []
        self._answer = answer
        self.delayed: Any = _Run(aio_delayed.Delayed(self._awaited)) if is_awaited else delayed.Delayed(self._now)

    def _now(self, request: Request[Any]) -> Any:
        assert request.target == DELAY
        self.requests.append(request.make(1))
        self.removals.append(request.is_removal)
        return self._answer

    async def _awaited(self, request: Request[Any]) -> Any:
        return self._now(request)


@final
class _Run:
    """Awaits what the methods of an object return."""

    def __init__(self, awaited: aio_delayed.Delayed) -> None:
        self._awaited = awaited

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Coroutine[Any, Any, Any]] = getattr(self._awaited, name)
        return lambda *given, **named: asyncio.run(method(*given, **named))


both = pytest.mark.parametrize("is_awaited", [False, True], ids=["blocking", "asyncio"])


@both
def test_messages_are_named_by_id_or_by_key(is_awaited: bool) -> None:
    asked = Asked(is_awaited)
    asked.delayed.cancel("4711")
    asked.delayed.cancel(schedule_key="k")
    asked.delayed.reschedule("4711", SOON)
    asked.delayed.reschedule(None, SOON, schedule_key="k")
    asked.delayed.fire(4711)
    asked.delayed.fire(schedule_key="k")
    assert asked.requests == [
        CancelDelayed(1, 4_711, None),
        CancelDelayed(1, 0, "k"),
        RescheduleDelayed(1, SOON_MS, 4_711, None),
        RescheduleDelayed(1, SOON_MS, 0, "k"),
        FireDelayed(1, 4_711, None),
        FireDelayed(1, 0, "k"),
    ]
    assert asked.removals == [True, True, False, False, True, True]


WRONG_NAMES: tuple[dict[str, Any], ...] = (
    {},
    {"scheduled_id": "1", "schedule_key": "k"},
    {"scheduled_id": "x"},
    {"scheduled_id": "0"},
    {"scheduled_id": "-1"},
    {"scheduled_id": "²"},
    {"scheduled_id": True},
    {"scheduled_id": 1.0},
    {"scheduled_id": str(1 << 48)},
    {"scheduled_id": "9" * 5_000},
    {"scheduled_id": 10**5_000},
    {"schedule_key": ""},
    {"schedule_key": 5},
    {"schedule_key": "\ud800"},
)


@both
@pytest.mark.parametrize("named", WRONG_NAMES, ids=range(len(WRONG_NAMES)))
def test_a_name_that_is_none_is_refused_before_anybody_is_asked(is_awaited: bool, named: dict[str, Any]) -> None:
    asked = Asked(is_awaited)
    client = asked.delayed
    with pytest.raises(InvalidArgument):
        client.cancel(**named)
    with pytest.raises(InvalidArgument):
        client.fire(**named)
    with pytest.raises(InvalidArgument):
        client.reschedule(named.get("scheduled_id"), SOON, schedule_key=named.get("schedule_key"))
    assert asked.requests == []


@both
@pytest.mark.parametrize("moment", [datetime(2027, 1, 31), None, 5, "tomorrow"], ids=str)
def test_a_new_time_that_is_none_is_refused_before_anybody_is_asked(is_awaited: bool, moment: Any) -> None:
    asked = Asked(is_awaited)
    with pytest.raises(InvalidArgument, match="deliver_at"):
        asked.delayed.reschedule("1", moment)
    assert asked.requests == []


@both
def test_a_list_comes_back_as_messages_with_moments(is_awaited: bool) -> None:
    waiting = DelayedInfo(scheduled_id=3, schedule_key="k", exchange="e", routing_key="r", deliver_at_ms=1_500, size=9)
    asked = Asked(
        is_awaited,
        [
            waiting,
            DelayedInfo(
                scheduled_id=4,
                schedule_key=None,
                exchange="e",
                routing_key="r",
                deliver_at_ms=0,
                size=9,
                state="failed",
            ),
        ],
    )
    first, failed = asked.delayed.list("e", 7, schedule_key="k")
    assert asked.requests == [ListDelayed(1, "e", "k", 7)]
    assert (first.scheduled_id, first.deliver_at) == ("3", datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC))
    assert (failed.state, failed.deliver_at) == ("failed", None)


WRONG_LISTS: tuple[dict[str, Any], ...] = (
    {"limit": 0},
    {"limit": -1},
    {"limit": 1_001},
    {"limit": 10**30},
    {"limit": True},
    {"limit": math.inf},
    {"limit": "5"},
    {"limit": None},
    {"exchange": 5},
    {"exchange": "x" * 256},
    {"schedule_key": 5},
)


@both
@pytest.mark.parametrize("given", WRONG_LISTS, ids=range(len(WRONG_LISTS)))
def test_a_list_that_nobody_can_mean_is_refused_unasked(is_awaited: bool, given: dict[str, Any]) -> None:
    asked = Asked(is_awaited)
    with pytest.raises(InvalidArgument):
        asked.delayed.list(**given)
    assert asked.requests == []


@both
def test_counts_are_asked_for(is_awaited: bool) -> None:
    asked = Asked(is_awaited, DelayInfo(waiting=3))
    assert asked.delayed.info() == DelayInfo(waiting=3)
    assert asked.requests == [DelayStatus(1)]
