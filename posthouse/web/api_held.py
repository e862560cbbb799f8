"""What exchanges hold for queues to come."""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.held_requests import HeldMessage
from posthouse.transport.messages_hold import HoldInfo
from posthouse.web.operation import Call, Operation


@final
class HeldQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`exchange`: of that exchange only; `after`: above that number of it."""

    exchange: str | None = None
    limit: int = 100
    after: int = 0


@final
class ReleaseWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`to`: a queue by name; else to where the exchange's bindings lead now."""

    to: str | None = None


@final
class Leaving(msgspec.Struct, frozen=True):
    """How many messages leave."""

    leaving: int


async def held(call: Call) -> Any:
    """Messages that no queue has wanted yet, oldest first."""
    wanted: HeldQuery = call.query
    return await (await call.broker()).held.list(wanted.exchange, wanted.limit, after=wanted.after)


async def held_by(call: Call) -> Any:
    """How much an exchange holds, its bounds, and what became of what it held."""
    return await (await call.broker()).held.status(call.path["exchange"])


async def release(call: Call) -> Any:
    """Let go of all that an exchange holds. It arrives in order, exactly once."""
    return Leaving(await (await call.broker()).held.release(call.path["exchange"], call.body.to))


async def expire(call: Call) -> Any:
    """Make dead letters of all that an exchange holds."""
    return Leaving(await (await call.broker()).held.expire(call.path["exchange"]))


OPERATIONS: Final = (
    Operation("list_held", "GET", "/held", held, list[HeldMessage], query=HeldQuery),
    Operation("get_held", "GET", "/held/{exchange}", held_by, HoldInfo),
    Operation(
        "release_held", "POST", "/held/{exchange}/release", release, Leaving, body=ReleaseWish, is_body_optional=True
    ),
    Operation("expire_held", "POST", "/held/{exchange}/expire", expire, Leaving),
)
