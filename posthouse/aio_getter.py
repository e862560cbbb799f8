"""Single messages in an event loop: asked for one by one, without a consumer."""

from __future__ import annotations

from typing import final

from posthouse import message, requests
from posthouse.aio_message import Message, Settling
from posthouse.aio_wire import Wire
from posthouse.asking import Call
from posthouse.requests import Request
from posthouse.subscription import Subscription


@final
class Getter:
    """The single messages of one connection."""

    def __init__(self, wire: Wire, timeout_s: float) -> None:
        self._wire = wire
        self._session = wire.session
        self._timeout_s = timeout_s

    async def get(self, queue: str, *, auto_ack: bool) -> Message | None:
        """See `Broker.get`."""
        request = requests.get(queue, auto_ack)
        # Tasks share the getter, so how one of them wants its message acked cannot be the getter's own.
        getter = self._session.getter(queue, auto_ack=False)
        self._wire.check_open()
        call = self._session.call(request.target, request.make)
        try:
            await self._wire.wait_or_raise(lambda: call.is_done, self._timeout_s)
        except BaseException:
            self._wire.when_done(call, lambda: self._give_back(getter, request, call, is_ours=not auto_ack))
            raise
        found = _take(getter, request.answer(call))
        return None if found is None else Message(found, None if auto_ack else Settling(self._wire, getter))

    def _give_back(self, getter: Subscription, request: Request[int | None], call: Call, *, is_ours: bool) -> None:
        found = None if call.error is not None else _take(getter, request.answer(call))
        if found is not None and is_ours:
            getter.give_back(found)
            self._wire.wake()


def _take(getter: Subscription, offset: int | None) -> message.Message | None:
    """The message that a `get` was answered with; None too where its session has ended since."""
    for found in getter.ready:
        if found.offset == offset:
            getter.ready.remove(found)
            return found
    return None
