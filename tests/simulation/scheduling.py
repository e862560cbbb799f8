"""A program that delays messages, and says for each of them before when it must not be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthouse.asking import Call
from posthouse.stream import Stream
from posthouse.transport.messages import NIL, Options
from posthouse.transport.messages_delay import CancelDelayed, FireDelayed, RescheduleDelayed
from posthouse.transport.names import DELAY
from tests.simulation.clients import History, SimClient
from tests.simulation.world import World


class SimScheduler(SimClient):
    """Publishes delayed messages, and cancels, fires, replaces and puts off some of them."""

    def __init__(
        self,
        world: World,
        name: str,
        history: History,
        plan: tuple[str, list[str], int],
        delays_ms: tuple[int, ...],
    ) -> None:
        super().__init__(world, name, history)
        self.exchange, self._keys, self._left = plan
        self._delays_ms = delays_ms
        self._stream: Stream | None = None
        self._bodies: dict[int, bytes] = {}
        self._keyed: bytes | None = None
        world.after(self.random.randint(50, 200), self._publish)

    def _publish(self) -> None:
        if self._left <= 0:
            return
        if self._stream is None:
            self._stream = self.session.stream(self.exchange)
        key = self.random.choice(self._keys)
        schedule_key = f"{self.name} key" if self.random.random() < 0.1 else None
        count = 1 if schedule_key else min(self._left, self.random.randint(1, 12))
        for _ in range(count):
            self._left -= 1
            body = f"{self.name}:{self._left}:".encode() + b"x" * self.random.randint(0, 60)
            due_ms = self.world.wall_ms + self.random.choice(self._delays_ms)
            due_ms += self.random.randint(0, 30)
            number = self._stream.add(body, (key, NIL, Options(deliver_at_ms=0, schedule_key=schedule_key)))
            self._stream.schedule(due_ms)
            self._bodies[number] = body
            self._stream.waiters[number] = None
            self.history.published[body] = (self.exchange, key, None)
            self.history.due[body] = due_ms
            if schedule_key:
                if self._keyed is not None:
                    self.history.perhaps_gone.add(self._keyed)
                self._keyed = body
        self._stream.close_batch()
        self.flush()
        self.world.after(self.random.randint(1, 90), self._publish)

    def took_in(self) -> None:
        for number, body, receipt in self.take_receipts(self._stream, self._bodies):
            if receipt.code is not None:
                continue
            whim = self.random.random()
            if receipt.scheduled_id and whim < 0.3:
                self._change(body, receipt.scheduled_id + number - receipt.first_seq, whim)

    def _change(self, body: bytes, scheduled_id: int, whim: float) -> None:
        make: Callable[[int], Any]
        if whim < 0.15:
            self.history.perhaps_gone.add(body)
            make = lambda number: CancelDelayed(number, scheduled_id)  # noqa: E731
        elif whim < 0.2:
            self.history.due[body] = 0
            make = lambda number: FireDelayed(number, scheduled_id)  # noqa: E731
        else:
            due_ms = self.world.wall_ms + self.random.randint(1, max(self._delays_ms) // 3)
            self.history.due[body] = min(due_ms, self.history.due[body])
            make = lambda number: RescheduleDelayed(number, due_ms, scheduled_id)  # noqa: E731

        def changed(call: Call) -> None:
            if whim < 0.15 and call.error is None:
                self.history.cancelled.add(body)

        self.ask(make, changed, DELAY)
