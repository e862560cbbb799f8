"""Alerts: what fires, who is told, what is kept quiet."""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_alerts import AlertList, AlertTested, Silence
from posthouse.transport.names import shown
from posthouse.web.api_topology import Done
from posthouse.web.operation import Call, Operation

_DIGITS_MAX: Final = 15


@final
class SilenceWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which alerts, for how long, and why. `rule` and `subject` are patterns with `*` and `?`."""

    for_s: float
    rule: str = "*"
    subject: str = "*"
    comment: str = ""


@final
class TestWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`target`: one by name; else all."""

    target: str | None = None


async def alerts(call: Call) -> Any:
    """Alerts that fire, are about to, or were resolved lately; silences, targets and rules with their state."""
    return await (await call.broker()).alerts.list()


async def silence(call: Call) -> Any:
    """Keep alerts quiet for so many seconds. They are still listed, and told when the silence ends."""
    wished: SilenceWish = call.body
    broker = await call.broker()
    return await broker.alerts.silence(wished.rule, wished.subject, for_s=wished.for_s, comment=wished.comment)


async def unsilence(call: Call) -> Any:
    """End a silence. `done` is false where there is none of that number."""
    text = call.path["number"]
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise InvalidArgument(f"the number of a silence is {shown(text)}; GET /alerts lists them")
    return Done(await (await call.broker()).alerts.unsilence(int(text)))


async def test(call: Call) -> Any:
    """Send a test notice, and say what became of it: `error` is empty where it was delivered."""
    return await (await call.broker()).alerts.test(call.body.target)


OPERATIONS: Final = (
    Operation("list_alerts", "GET", "/alerts", alerts, AlertList),
    Operation("silence_alerts", "POST", "/alerts/silences", silence, Silence, body=SilenceWish),
    Operation("end_silence", "DELETE", "/alerts/silences/{number}", unsilence, Done),
    Operation("test_alerts", "POST", "/alerts/test", test, list[AlertTested], body=TestWish, is_body_optional=True),
)
