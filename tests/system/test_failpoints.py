"""Every named step of a broker is where something dies, fails, hangs or waits, and what was confirmed is still kept.

One small run of all kinds of traffic under each fault: work that is acked, rejected and sent back, delayed and held.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import posthouse
from posthouse import Retry
from posthouse.errors import InvalidArgument
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.failpoints import OF_DISK, Action, Failpoint, Point
from posthouse.testing.traces import traces_of
from posthouse.testing.waiting import eventually

BODY = 3_000
WORK, LATER, HELD = 60, 15, 10
SOON = Retry(max_attempts=20, first_delay_s=0.01, max_delay_s=0.05, jitter=False)

KILL, RAISE, EIO, STOP, DELAY = Action.KILL, Action.RAISE, Action.EIO, Action.STOP, Action.DELAY


def at(point: Point, action: Action = KILL, actor: str = "queue:work", record: str = "", **more: int) -> Failpoint:
    return Failpoint(point=point, action=action, actor=actor, record=record, **more)


ROUND = [
    Point.OPENED, Point.REPLAYED, Point.RECEIVED, Point.WRITE_BEFORE, Point.WRITE_TORN, Point.WRITE_AFTER,
    Point.SYNC_BEFORE, Point.SYNC_AFTER, Point.COMMITTED, Point.SENT_ONE, Point.SENT_ALL,
]  # fmt: skip
SEGMENT = [
    Point.CREATE_BEFORE, Point.CREATE_AFTER, Point.RENAME_BEFORE, Point.RENAME_AFTER, Point.DIRECTORY_BEFORE,
    Point.DIRECTORY_AFTER, Point.UNLINK_BEFORE, Point.UNLINK_AFTER,
]  # fmt: skip
STEPS = [
    # what a queue does with a message
    ("queue:work", "STORE"), ("queue:work", "GIVEN"), ("queue:work", "SETTLED"),
    ("queue:work", "LEAVING"), ("queue:work", "LEFT"), ("queue:work", "RETRY"),
    # what the others keep
    ("delay", "STORE"), ("delay", "FIRE"), ("delay", "FIRED"),
    ("dead-letter", "BURIED"), ("dead-letter", "REDRIVE"), ("dead-letter", "LEAVING"), ("dead-letter", "LEFT"),
    ("exchange:flights", "HELD"), ("exchange:flights", "LEAVING"), ("exchange:flights", "LANDED"),
]  # fmt: skip
TORN = at(Point.WRITE_TORN, hit=3)

ROUNDS = [[at(point, hit=1 if point in (Point.OPENED, Point.REPLAYED) else 3)] for point in ROUND]
SEGMENTS = [[at(point)] for point in SEGMENT]
STEPS_OF_ALL = [
    *[[at(Point.COMMITTED, actor=actor, record=record)] for actor, record in STEPS],
    [at(Point.WRITE_AFTER, record="SETTLED")],
    [at(Point.WRITE_AFTER, actor="delay", record="FIRED")],
    [at(Point.SENT_ONE, actor="exchange:flights", hit=2)],
    [at(Point.SYNC_AFTER, actor="registry", hit=2)],
    [at(Point.REPLAYED, actor="registry")],
]
OTHERWISE = [
    [at(Point.SYNC_BEFORE, EIO, hit=3)],
    [at(Point.SYNC_AFTER, EIO, hit=3)],
    [at(Point.WRITE_BEFORE, EIO, hit=3)],
    [at(Point.RENAME_BEFORE, EIO)],
    [at(Point.DIRECTORY_BEFORE, EIO)],
    [at(Point.WRITE_BEFORE, Action.ENOSPC, hit=3)],
    [at(Point.SYNC_BEFORE, EIO, actor="delay", hit=3)],
    [at(Point.SYNC_BEFORE, EIO, actor="dead-letter", hit=3)],
    [at(Point.SYNC_BEFORE, EIO, actor="registry", hit=3)],
    [at(Point.RECEIVED, RAISE, hit=20)],
    [at(Point.COMMITTED, RAISE, record="STORE")],
    [at(Point.COMMITTED, RAISE, actor="exchange:flights", hit=5)],
    [at(Point.COMMITTED, STOP, record="STORE")],
    [at(Point.COMMITTED, STOP, actor="delay", record="FIRE")],
    [at(Point.SYNC_BEFORE, DELAY, record="STORE", delay_ms=300)],
    [at(Point.COMMITTED, DELAY, actor="exchange:flights", hit=5, delay_ms=300)],
]
DOUBLE = [
    [TORN, at(Point.READ, after=0)],
    [TORN, at(Point.TRUNCATE_BEFORE, after=0)],
    [TORN, at(Point.TRUNCATE_AFTER, after=0)],
    [TORN, at(Point.CREATE_AFTER, after=0)],
    [TORN, at(Point.RENAME_AFTER, after=0)],
    [TORN, at(Point.SYNC_BEFORE, EIO, after=0)],
    [at(Point.COMMITTED, record="SETTLED"), at(Point.REPLAYED, after=0, lives=2)],
    [at(Point.COMMITTED, actor="delay", record="FIRE"), at(Point.OPENED, actor="delay", after=0, lives=2)],
    [at(Point.COMMITTED, record="LEAVING"), at(Point.COMMITTED, actor="dead-letter", record="BURIED")],
]
WHOLE = [
    [at(Point.CHILD_STARTED)],
    [at(Point.CHILD_READY)],
    [at(Point.COMMITTED, record="STORE"), at(Point.CHILD_EXITED, after=0)],
    [at(Point.COMMITTED, record="STORE"), at(Point.CHILD_STARTED, after=0)],
]
REGISTRY = [
    [at(point, actor="registry", record="")] for point in (Point.CREATE_AFTER, Point.RENAME_BEFORE, Point.RENAME_AFTER)
]
OFTEN = ROUNDS + STEPS_OF_ALL + DOUBLE
"""What every run of the tests has time for."""

OF_A_QUEUE = [*ROUND, *SEGMENT]
FOR_EVERY_STEP = [
    [at(point, action, hit=1 if point in (Point.OPENED, Point.REPLAYED, *SEGMENT) else 3, delay_ms=300)]
    for point in OF_A_QUEUE
    for action in (STOP, RAISE, EIO, DELAY)
    if action is not EIO or point in OF_DISK
]
"""The rest of the table of steps and actions, and each step of a recovery after a torn write."""
FOR_EVERY_RECOVERY = [
    [TORN, at(point, action, after=0)]
    for point in OF_A_QUEUE
    if point not in (Point.UNLINK_BEFORE, Point.UNLINK_AFTER)
    for action in (KILL, STOP)
]


def name_of(failpoints: list[Failpoint]) -> str:
    return "+".join(f"{one.actor}-{one.record}-{one.point}-{one.action}" for one in failpoints)


@pytest.mark.parametrize("failpoints", OFTEN, ids=name_of)
def test_nothing_confirmed_is_lost(short_path: Path, failpoints: list[Failpoint]) -> None:
    config = short_path / "posthouse.toml"
    config.write_text("segment_bytes_max = 65536\n")
    process = BrokerProcess(short_path, "--config", str(config), failpoints=failpoints)
    try:
        with keeps_running(process):
            everything_is_done(process)
        assert set(process.struck()) == set(range(len(failpoints))), "every fault has struck"
        assert process.stop() == 0
    finally:
        process.clean_up()
    assert traces_of(process.data, process.seen) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "failpoints", SEGMENTS + OTHERWISE + WHOLE + REGISTRY + FOR_EVERY_STEP + FOR_EVERY_RECOVERY, ids=name_of
)
def test_nothing_confirmed_is_lost_at_any_step_whatever_happens_there(
    short_path: Path, failpoints: list[Failpoint]
) -> None:
    test_nothing_confirmed_is_lost(short_path, failpoints)


@contextlib.contextmanager
def keeps_running(process: BrokerProcess) -> Iterator[None]:
    """Meanwhile somebody starts the broker again when it is dead, and continues what hangs."""
    start(process)
    is_over = threading.Event()

    def look_after() -> None:
        while not is_over.wait(0.02):
            if not process.is_running:
                process.collect()
                start(process)
            for pid in process.children:
                with contextlib.suppress(psutil.Error):
                    if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                        psutil.Process(pid).send_signal(signal.SIGCONT)

    keeper = threading.Thread(target=look_after)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


def start(process: BrokerProcess) -> None:
    """It may die while it starts, more than once."""

    def is_up() -> bool:
        try:
            process.start()
        except AssertionError:
            process.clean_up()
            return False
        return True

    eventually(is_up, 60.0, "the broker is up")


def everything_is_done(process: BrokerProcess) -> None:
    """All kinds of traffic; every message is confirmed, comes, is acked, and does not come after that."""
    with posthouse.connect(process.ipc, timeout_s=30.0) as broker:
        broker.declare_exchange("flights", "topic", unrouted="hold")
        with broker.publisher("flights") as out:
            for number in range(HELD):
                out.send(body("held", number), routing_key="late")
        broker.declare_queue("work", retry=SOON)
        broker.bind("flights", "work", "work")
        with broker.publisher("flights") as out:
            for number in range(LATER):
                out.send(body("later", number), routing_key="work", delay_s=0.3)
            for number in range(WORK):
                out.send(body("work", number), routing_key="work")
        broker.bind("flights", "work", "late")
        acked: Counter[str] = Counter()
        expected = {f"{kind}-{number}" for kind, count in COUNTS for number in range(count)}
        refused: set[str] = set()
        with broker.consume("work", prefetch=20) as messages:

            def is_all_here() -> bool:
                message = messages.get(timeout_s=0.1)
                if message is None:
                    send_back(broker)
                    return set(acked) == expected
                name = message.body.decode().strip()
                if name.endswith("7") and name not in refused:
                    refused.add(name)
                    message.reject("a seven")
                elif name.endswith("3") and message.attempt == 1:
                    message.nack()
                else:
                    message.ack()
                    acked[name] += 1
                return False

            eventually(is_all_here, 60.0, "everything is acked")
        assert set(acked) == expected
        info = eventually(lambda: (found := broker.queue_info("work")).unacked == 0 and found)
        assert info.ready == 0
        assert broker.dead_letters.list() == []


COUNTS = (("work", WORK), ("later", LATER), ("held", HELD))


def body(kind: str, number: int) -> bytes:
    return f"{kind}-{number}".encode().ljust(BODY)


def send_back(broker: posthouse.Broker) -> None:
    """What was rejected goes back to where it died."""
    with contextlib.suppress(posthouse.errors.Refused):
        broker.dead_letters.redrive(queue="work")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Failpoint(point=Point.COMMITTED, action=EIO), "step of the disk"),
        (Failpoint(point=Point.CHILD_READY, action=RAISE), "by design"),
        (Failpoint(point=Point.READ, action=KILL, hit=0), "at least 1"),
        (Failpoint(point=Point.READ, action=DELAY, delay_ms=-1), "0 to 60,000"),
        (Failpoint(point=Point.READ, action=KILL, after=0), "earlier failpoint"),
        (Failpoint(point=Point.WRITE_AFTER, action=KILL, record="FORGOTTEN"), "no journal"),
    ],
)
def test_a_failpoint_that_makes_no_sense_is_refused(short_path: Path, wrong: Failpoint, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        BrokerProcess(short_path, failpoints=[wrong])


def test_a_broker_in_production_has_none(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_FAILPOINTS", '[{"point": "opened", "action": "kill"}]')
    with BrokerProcess(short_path) as process:
        with process.connect() as broker:
            broker.declare_queue("q")
            assert broker.publish("", b"1", routing_key="q").queues == ["q"]
        assert process.struck() == {}
