"""Where a broker may be made to die, hang or fail, and how to say so.

A failpoint names a step, an actor and what shall happen there. Steps lie on the seams of an actor (its disk, its
journal, what it sends), before and after everything that makes a difference to what survives; `record` narrows a step
of the journal down to the commits that hold a record of that kind, as the actor's `Kind` names it (`SETTLED`, `FIRE`).
Only a broker started by `posthouse.testing` has them: `posthouse serve` contains none and reads none.

Fails with: InvalidArgument for an unknown point, action or record, and for values out of range.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, final

import msgspec

from posthouse.actors import dead_letter_records, delay_records, held_records, queue_records
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.names import DEAD_LETTER, DELAY

VARIABLE: Final = "POSTHOUSE_FAILPOINTS"
"""How a broker of `posthouse.testing` is told its failpoints, as JSON."""

STRUCK: Final = "struck"
"""The folder of a data directory that says which of them have struck, a file for each time."""

DELAY_MS_MAX: Final = 60_000


@final
class Point(enum.StrEnum):
    """Steps, in the order in which they happen in a round and in a life."""

    OPENED = "opened"
    """The journal is recovered and open; nothing has been replayed."""
    REPLAYED = "replayed"
    """The state is rebuilt; the supervisor has not been told."""
    RECEIVED = "received"
    """Frames were taken from the sockets; nothing has been decided."""
    WRITE_BEFORE = "write.before"
    WRITE_TORN = "write.torn"
    """Half of the bytes of a commit are in the file."""
    WRITE_AFTER = "write.after"
    SYNC_BEFORE = "sync.before"
    SYNC_AFTER = "sync.after"
    """The commit is durable; nobody has been told."""
    COMMITTED = "committed"
    """Answers are ready, none has left."""
    SENT_ONE = "sent.one"
    """The first frame of the round has left, the others have not: some queues have a message, others do not."""
    SENT_ALL = "sent.all"
    CREATE_BEFORE = "create.before"
    """A segment, checkpoint or reserve is about to be made under its temporary name."""
    CREATE_AFTER = "create.after"
    RENAME_BEFORE = "rename.before"
    """Its content is durable, its name is not."""
    RENAME_AFTER = "rename.after"
    DIRECTORY_BEFORE = "directory.before"
    """Names have changed; the directory has not been synced."""
    DIRECTORY_AFTER = "directory.after"
    UNLINK_BEFORE = "unlink.before"
    UNLINK_AFTER = "unlink.after"
    TRUNCATE_BEFORE = "truncate.before"
    """A torn tail is about to be cut off."""
    TRUNCATE_AFTER = "truncate.after"
    READ = "read"
    """Bytes of the journal were read: while it is recovered or replayed, or a body that is not in memory."""
    CHILD_STARTED = "child.started"
    """In the supervisor: a process was forked, and is not ready."""
    CHILD_READY = "child.ready"
    CHILD_EXITED = "child.exited"
    """In the supervisor: a process was collected, and no successor is started."""
    STOPPING = "stopping"
    """In the supervisor: everything is on its way down."""


@final
class Action(enum.StrEnum):
    """What happens at a point."""

    KILL = "kill"
    """SIGKILL to the process that is there."""
    STOP = "stop"
    """SIGSTOP: it hangs until somebody continues it, or the supervisor has seen enough."""
    RAISE = "raise"
    """An exception nobody expects."""
    EIO = "eio"
    """The disk fails; at steps of the disk only."""
    ENOSPC = "enospc"
    """The disk is full; at steps of the disk only."""
    DELAY = "delay"
    """It takes `delay_ms` longer."""


OF_DISK: Final = frozenset(
    {
        Point.WRITE_BEFORE,
        Point.WRITE_TORN,
        Point.WRITE_AFTER,
        Point.SYNC_BEFORE,
        Point.SYNC_AFTER,
        Point.CREATE_BEFORE,
        Point.CREATE_AFTER,
        Point.RENAME_BEFORE,
        Point.RENAME_AFTER,
        Point.DIRECTORY_BEFORE,
        Point.DIRECTORY_AFTER,
        Point.UNLINK_BEFORE,
        Point.UNLINK_AFTER,
        Point.TRUNCATE_BEFORE,
        Point.TRUNCATE_AFTER,
        Point.READ,
    }
)
OF_SUPERVISOR: Final = frozenset({Point.CHILD_STARTED, Point.CHILD_READY, Point.CHILD_EXITED, Point.STOPPING})

_KINDS: Final[dict[str, type[enum.IntEnum]]] = {
    DELAY: delay_records.Kind,
    DEAD_LETTER: dead_letter_records.Kind,
    "queue": queue_records.Kind,
    "exchange": held_records.Kind,
}


@final
class Failpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault. `actor` is a name as `posthouse tree` shows it, with `*` for any text.

    `hit`: the how many-th time in a life. `lives`: in how many lives it strikes. `after`: only once the failpoint
    with that number in the list has struck, which is how something is made to die again while it recovers.
    """

    point: Point
    action: Action
    actor: str = "*"
    record: str = ""
    hit: int = 1
    lives: int = 1
    after: int | None = None
    delay_ms: int = 100

    def check(self, number: int) -> None:
        """Raise InvalidArgument unless it may be the `number`-th of a list, counted from 0."""
        if self.hit < 1 or self.lives < 1:
            raise InvalidArgument(f"hit is {self.hit} and lives is {self.lives}; both are at least 1")
        if not 0 <= self.delay_ms <= DELAY_MS_MAX:
            raise InvalidArgument(f"delay_ms is {self.delay_ms}; it is 0 to {DELAY_MS_MAX:,}")
        if self.after is not None and not 0 <= self.after < number:
            raise InvalidArgument(f"after is {self.after}; it is the number of an earlier failpoint")
        if self.action in (Action.EIO, Action.ENOSPC) and self.point not in OF_DISK:
            raise InvalidArgument(f"{self.action} happens at a step of the disk, and {self.point} is none")
        if self.point in OF_SUPERVISOR and self.action is Action.RAISE:
            raise InvalidArgument("the supervisor does not survive an exception by design: use kill")
        if self.record and not any(self.record in kind.__members__ for kind in _KINDS.values()):
            raise InvalidArgument(f"no journal has records called {self.record!r}")

    def kind_in(self, actor_id: str) -> int:
        """The number of its kind of record in that actor's journal, 0 if it has none of that name."""
        kinds = _KINDS.get(actor_id.partition(":")[0])
        return 0 if kinds is None or self.record not in kinds.__members__ else int(kinds[self.record])


def to_text(failpoints: Sequence[Failpoint]) -> str:
    """For the environment. Raises InvalidArgument."""
    for number, failpoint in enumerate(failpoints):
        failpoint.check(number)
    return msgspec.json.encode(failpoints).decode()


def from_text(text: str) -> list[Failpoint]:
    """What `to_text` wrote. Raises InvalidArgument."""
    try:
        failpoints = msgspec.json.decode(text, type=list[Failpoint])
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"{VARIABLE}: {error}") from error
    for number, failpoint in enumerate(failpoints):
        failpoint.check(number)
    return failpoints
