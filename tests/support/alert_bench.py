"""Samples and findings for tests of alerts, and a desk that only notes what it is given.

The desk delivers nothing; a test says how each delivery ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, final

from posthouse.actors.alert_book import Now
from posthouse.actors.alert_finding import Finding, Findings, Verdict
from posthouse.actors.alert_outbox import Dispatch, Outcome
from posthouse.actors.alert_rules import Level, Rule
from posthouse.actors.alert_watch import Sample
from posthouse.supervisor.control_messages import NodeInfo
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_monitor import ActorReading, Machine

WALL_MS: Final = 1_700_000_000_000
HEALTHY: Final = Machine(cores=2, memory_bytes=1_000, memory_free_bytes=500, disk_bytes=10**12, disk_free_bytes=10**11)


def now(ms: int) -> Now:
    return Now(WALL_MS + ms, ms)


def level(name: str = "deep", **settings: Any) -> Level:
    """A rule about a queue's ready messages."""
    return Level(name=name, summary="deep", actors="queue", measure="ready", **({"above": 10.0} | settings))


def queue(name: str = "q", *, state: str = "up", **values: float) -> ActorReading:
    return ActorReading(id=f"queue:{name}", kind="queue", name=name, state=state, values=values)


def sample(at_ms: int, *actors: ActorReading, machine: Machine = HEALTHY, descriptors_max: int = 100) -> Sample:
    return Sample(at_ms, {actor.id: actor for actor in actors}, machine, descriptors_max)


def bad(rule: Rule, subject: str = "queue:q", value: float = 11.0, text: str = "deep") -> Findings:
    finding = Finding(rule, subject, subject.partition(":")[2], Verdict.BAD, value, text)
    return {finding.key: finding}


def undecided(rule: Rule, subject: str = "queue:q") -> Findings:
    finding = Finding(rule, subject, "", Verdict.UNDECIDED)
    return {finding.key: finding}


def node(actor_id: str = "queue:q", kind: str = "queue", **facts: Any) -> NodeInfo:
    given: dict[str, Any] = {"id": actor_id, "kind": kind, "group": "queues", "state": "up", "generation": 1}
    return NodeInfo(**(given | facts))


@final
class NotingDesk:
    """Keeps what was saved across lives. `saves_at_once`: off, and a write ends when the test says so."""

    def __init__(self) -> None:
        self.sent: list[Dispatch] = []
        self.file: bytes | None = None
        self.problem = ""
        self.saves_at_once = True
        self.saving: bytes | None = None
        self.outcomes: list[Outcome] = []
        self.taken: dict[str, list[int]] = {}
        self.aside: list[bytes] = []
        self.unreadable = ""

    def load(self) -> bytes | None:
        if self.unreadable:
            raise InvalidArgument(self.unreadable)
        return self.file

    def set_aside(self) -> None:
        if self.file is not None:
            self.aside.append(self.file)
            self.file = None

    def delivered(self) -> Mapping[str, Collection[int]]:
        return self.taken

    def save(self, data: bytes) -> None:
        assert self.saving is None, "one at a time"
        self.saving = data

    def take_saved(self) -> str | None:
        if self.saving is None or not self.saves_at_once:
            return None
        if not self.problem:
            self.file = self.saving
        self.saving = None
        return self.problem

    def send(self, dispatch: Dispatch) -> None:
        self.sent.append(dispatch)

    def take_outcomes(self) -> list[Outcome]:
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def answer(self, error: str = "") -> Dispatch:
        """The oldest delivery ends like that."""
        dispatch = self.sent.pop(0)
        self.outcomes.append(Outcome(dispatch.target, dispatch.notice.number, error))
        if not error:
            self.taken.setdefault(dispatch.target, []).append(dispatch.notice.number)
        return dispatch
