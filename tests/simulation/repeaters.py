"""Programs of the simulation that make recurring schedules, and what their messages must come to.

A schedule's messages have one body; the history tells them apart by the instant they are for. As soon as a schedule is
confirmed, the history knows every instant it has: under `all` each must be delivered once, under `once` and `skip` at
most once, and each that comes when nothing fails any more once. The verdict is the same as for any delayed message.
"""

from __future__ import annotations

from posthouse.asking import Call
from posthouse.transport.messages import NIL, Receipt
from posthouse.transport.messages_recurring import Repeat, StopRecurring
from posthouse.transport.names import DELAY
from tests.simulation.clients import History, SimClient, name_of
from tests.simulation.world import WALL_MS, World

MISSED_MS = 1_000
LEAD_MS = 20
STOPPED = "stopped"


class SimRepeater(SimClient):
    """Makes one schedule per misfire policy, and one that it stops again. Nothing fails after `calm_ms`."""

    def __init__(self, world: World, name: str, history: History, exchange: str, key: str, calm_ms: int) -> None:
        super().__init__(world, name, history)
        self._exchange, self._key, self._calm_ms = exchange, key, WALL_MS + calm_ms
        self._left = ["all", "once", "skip", STOPPED]
        self.is_done = False
        world.after(self.random.randint(20, 600), self._next)

    def _next(self) -> None:
        if not self._left:
            self.is_done = True
            return
        what = self._left.pop()
        now_ms = WALL_MS + self.world.now_ms
        every_ms = self.random.choice([250, 700])
        start_ms = now_ms + self.random.randint(1, 300)
        until_ms = max(self._calm_ms, now_ms) + 1_500
        body = f"{self.name}:{what}".encode()

        def made(call: Call) -> None:
            assert call.error is None, call.error
            if what == STOPPED:
                self.world.after(self.random.randint(1, 1_500), lambda: self._stop(body, start_ms, every_ms))
            else:
                self._made(body, what, range(start_ms, until_ms + 1, every_ms))

        self.ask(
            lambda number: Repeat(
                number,
                body.decode(),
                self._exchange,
                self._key,
                NIL,
                memoryview(body),
                every_ms,
                start_ms=start_ms,
                until_ms=None if what == STOPPED else until_ms,
                misfire="all" if what == STOPPED else what,
            ),
            made,
            DELAY,
        )

    def _made(self, body: bytes, what: str, instants: range) -> None:
        now_ms = WALL_MS + self.world.now_ms
        for instant in instants:
            is_certain = instant > now_ms and (what == "all" or instant > self._calm_ms + MISSED_MS)
            self._expect(body, instant, is_certain)
        self._next()

    def _stop(self, body: bytes, start_ms: int, every_ms: int) -> None:
        def stopped(call: Call) -> None:
            assert call.error is None, call.error
            for instant in range(start_ms, WALL_MS + self.world.now_ms + LEAD_MS + 1, every_ms):
                self._expect(body, instant, False)
            self._next()

        self.ask(lambda number: StopRecurring(number, body.decode()), stopped, DELAY, is_removal=True)

    def _expect(self, body: bytes, instant: int, is_certain: bool) -> None:
        history = self.history
        name = name_of(body, _shown(instant))
        history.published[name] = (self._exchange, self._key, None)
        history.confirmed[name] = Receipt(0, 1, 1)
        history.due[name] = instant
        if not is_certain:
            history.perhaps_gone.add(name)


def _shown(instant: int) -> str:
    seconds, milliseconds = divmod(instant, 1000)
    day, second = divmod(seconds, 86_400)
    # The whole run is within one day of 2023.
    assert day == WALL_MS // 86_400_000
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{milliseconds:03}"
    return f"2023-11-14T{clock}+00:00"
