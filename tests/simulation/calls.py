"""Callers and servers of the simulation, and what must hold of calls whatever happens to the broker.

They are the production cores (`Calls`, `Answers`) under a script. A call ends by its deadline, in one way; a reply is
the reply to that very request; nobody handles what is late; and once the faults are over, calls work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from posthouse.answers import Answer, Answers
from posthouse.calls import Calls, Outgoing
from posthouse.message import Message, deadline_ms_of
from posthouse.subscription import Subscription
from posthouse.transport.errors import PosthouseError
from tests.simulation.clients import History, SimClient
from tests.simulation.world import World

QUEUE: Final = "calls"
_ENDS: Final = {"no_responders", "actor_down", "call_timeout", "outcome_unknown"}


@dataclass
class CallHistory:
    """What became of the calls: by request, the body of its reply or the code of what it ended with."""

    asked: set[bytes] = field(default_factory=set)
    replies: dict[bytes, bytes] = field(default_factory=dict)
    failures: dict[bytes, str] = field(default_factory=dict)
    handled: list[tuple[bytes, int]] = field(default_factory=list)
    handled_late: list[bytes] = field(default_factory=list)

    def broken(self) -> list[str]:
        """The promises that were broken, in words."""
        ended = self.replies.keys() | self.failures.keys()
        return [
            *(f"call {body!r} never ended" for body in sorted(self.asked - ended)),
            *(f"call {body!r} ended twice" for body in sorted(self.replies.keys() & self.failures.keys())),
            *(f"{body!r} was answered {reply!r}" for body, reply in self.replies.items() if reply != answer_to(body)),
            *(f"call {body!r} ended with {code}" for body, code in self.failures.items() if code not in _ENDS),
            *(f"{body!r} was handled and never asked" for body, _ in self.handled if body not in self.asked),
            *(f"{body!r} was handled after its deadline" for body in self.handled_late),
            *(
                f"{body!r} was refused with {self.failures[body]} and yet handled"
                for body, _ in self.handled
                if self.failures.get(body) in ("no_responders", "actor_down")
            ),
        ]


def answer_to(body: bytes) -> bytes:
    return b"re " + body


class SimServer(SimClient):
    """Serves the queue of calls, some time after each request came, and sometimes leaves and comes back."""

    def __init__(self, world: World, name: str, history: History, calls: CallHistory) -> None:
        super().__init__(world, name, history)
        self._calls = calls
        self._answers = Answers(self.session, tells_traceback=False)
        self._subscription: Subscription | None = None
        world.after(self.random.randint(20, 200), self._open)

    def _open(self) -> None:
        prefetch = self.random.choice([1, 4, 16])
        self._subscription, _ = self.session.subscribe(QUEUE, prefetch, auto_ack=False, exclusive=False)
        if not self.world.is_calm and self.random.random() < 0.5:
            self.world.after(self.random.randint(200, 1_500), self._leave)
        self.flush()

    def _leave(self) -> None:
        if self._subscription is not None and not self.world.is_calm:
            self.session.unsubscribe(self._subscription)
            self._subscription = None
            self.world.after(self.random.randint(10, 300), self._open)
            self.flush()

    def took_in(self) -> None:
        subscription = self._subscription
        if subscription is None:
            return
        if subscription.failure is not None:
            self._subscription = None
            self.world.after(20, self._open)
            return
        while subscription.ready:
            request = subscription.ready.popleft()
            self.world.after(self.random.choice([0, 0, 5, 60]), partial(self._handle, request))

    def _handle(self, request: Message) -> None:
        now_ms = self.world.wall_ms
        if not self._answers.drop_late(request, now_ms):
            deadline_ms = deadline_ms_of(request)
            if deadline_ms is None or deadline_ms <= now_ms:
                self._calls.handled_late.append(request.body)
            self._calls.handled.append((request.body, request.attempt))
            with Answer(request) as answer:
                answer.body = answer_to(answer.shown.body)
            self._answers.give(answer)
        self.flush()


class SimCaller(SimClient):
    """Calls again and again until told to stop, several at a time."""

    def __init__(self, world: World, name: str, history: History, calls: CallHistory) -> None:
        super().__init__(world, name, history)
        self.is_stopped = False
        self.has_worked_since_calm = False
        self._history = calls
        self._calls = Calls(self.session)
        self._count = 0
        self._open: dict[bytes, tuple[Outgoing, int]] = {}
        world.after(self.random.randint(100, 300), self._call)

    @property
    def is_idle(self) -> bool:
        return not self._open

    def _call(self) -> None:
        if self.is_stopped:
            return
        if self.session.listen().is_done and len(self._open) < 8:
            self._count += 1
            body = f"{self.name}:{self._count}".encode()
            limit_ms = self.random.choice([40, 300, 1_500])
            durability = self.random.choice(["memory", "memory", "sync"])
            data, key = self._calls.make_key("", body, QUEUE, None, {"durability": durability})
            deadline_ms = self.world.now_ms + limit_ms
            self._open[body] = (self._calls.begin("", data, key, None, self.world.wall_ms + limit_ms), deadline_ms)
            self._history.asked.add(body)
        self.flush()
        self.world.after(self.random.randint(10, 120), self._call)

    def took_in(self) -> None:
        for body, (call, deadline_ms) in list(self._open.items()):
            if self._calls.is_over(call):
                self._end(body, call)
            elif self.world.now_ms >= deadline_ms:
                self._history.failures[body] = "call_timeout"
                self._forget(body, call)

    def _end(self, body: bytes, call: Outgoing) -> None:
        try:
            self._history.replies[body] = self._calls.result(call).body
            self.has_worked_since_calm = self.has_worked_since_calm or self.world.is_calm
        except PosthouseError as error:
            self._history.failures[body] = error.code
        self._forget(body, call)

    def _forget(self, body: bytes, call: Outgoing) -> None:
        del self._open[body]
        self._calls.end(call)
