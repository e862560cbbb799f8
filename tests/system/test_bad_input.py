"""Bad input of every kind gets a typed answer in bounded time, changes nothing, and disturbs nobody else."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

import posthouse
from posthouse.errors import (
    ActorDown,
    InvalidArgument,
    PosthouseError,
    PreconditionFailed,
    PublishError,
    Refused,
    UnknownExchange,
    UnknownQueue,
)
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.support.hostile_peer import Dealer, good_hello, mutations, raw_attacks, raw_connection
from tests.support.small_disk import MIB, can_mount, disk_to_fill, mounted

SEED: Final = 7
_numbers: Final = itertools.count(1)
Ask = Callable[[posthouse.Broker], object]


@pytest.fixture(scope="module")
def bystander(shared: BrokerProcess) -> posthouse.Broker:
    """A client of a queue that no test touches."""
    broker = shared.connect()
    broker.declare_queue("bystander")
    broker.declare_exchange("known", "direct")
    broker.declare_exchange("by headers", "headers")
    return broker


@pytest.fixture
def broker(shared: BrokerProcess, bystander: posthouse.Broker) -> Iterator[posthouse.Broker]:
    """A client that behaves badly; afterwards the broker is what it was and the bystander's queue works."""
    before = (bystander.exchanges(), bystander.bindings(), [info.name for info in bystander.queues()])
    generations = [(node["id"], node["generation"]) for node in bystander.tree()]
    with shared.connect(timeout_s=60.0) as broker:
        yield broker
    assert works(bystander)
    assert before == (bystander.exchanges(), bystander.bindings(), [info.name for info in bystander.queues()])
    assert generations == [(node["id"], node["generation"]) for node in bystander.tree()]


def works(broker: posthouse.Broker) -> bool:
    """A message goes in and comes out of the bystander's queue."""
    body = b"%d" % next(_numbers)
    assert broker.publish("", body, "bystander", timeout_s=60.0).queues == ["bystander"]
    message = broker.get("bystander", auto_ack=True)
    return message is not None and message.body == body


LONG: Final = "n" * 256


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda broker: broker.publish("unknown", b""), UnknownExchange),
        (lambda broker: broker.publish("known", "text"), InvalidArgument),
        (lambda broker: broker.publish("known", 7), InvalidArgument),
        (lambda broker: broker.publish("known", b"", 7), InvalidArgument),
        (lambda broker: broker.publish("known", b"", LONG), InvalidArgument),
        (lambda broker: broker.publish(7, b""), InvalidArgument),
        (lambda broker: broker.publish("known", b"", headers=[("a", 1)]), InvalidArgument),
        (lambda broker: broker.publish("known", b"", headers={1: "a"}), InvalidArgument),
        (lambda broker: broker.publish("known", b"", headers={"a": object()}), InvalidArgument),
        (lambda broker: broker.publish("known", b"", headers={"a": 2**63}), InvalidArgument),
        (lambda broker: broker.publish("known", b"", headers={"a": "x" * 70_000}), InvalidArgument),
        (lambda broker: broker.publish("known", b"", headers={"a": "\ud800"}), InvalidArgument),
        (lambda broker: broker.publish("known", b"", durability="certain"), InvalidArgument),
        (lambda broker: broker.publish("known", b"", delay_s=-1), InvalidArgument),
        (lambda broker: broker.publish("known", b"", colour="red"), InvalidArgument),
        (lambda broker: broker.publish("known", b"", dedup_id="x" * 256), InvalidArgument),
        (lambda broker: broker.publish("known", bytes((16 << 20) + 1)), InvalidArgument),
        (lambda broker: broker.publisher("known").send("text"), InvalidArgument),
        (lambda broker: broker.publisher("known", window=0), InvalidArgument),
        (lambda broker: broker.declare_exchange("", "fanout"), InvalidArgument),
        (lambda broker: broker.declare_exchange("new", "round"), InvalidArgument),
        (lambda broker: broker.declare_exchange("new", unrouted="shred"), InvalidArgument),
        (lambda broker: broker.declare_exchange("amq.new"), InvalidArgument),
        (lambda broker: broker.declare_exchange("known", "topic"), PreconditionFailed),
        (lambda broker: broker.declare_queue(LONG), InvalidArgument),
        (lambda broker: broker.declare_queue("two\nlines"), InvalidArgument),
        (lambda broker: broker.declare_queue("\x1b[2J"), InvalidArgument),
        (lambda broker: broker.declare_queue("\ud800"), InvalidArgument),
        (lambda broker: broker.declare_queue(7), InvalidArgument),
        (lambda broker: broker.declare_queue("posthouse.new"), InvalidArgument),
        (lambda broker: broker.declare_queue("new", colour="red"), InvalidArgument),
        (lambda broker: broker.declare_queue("new", max_length=0), InvalidArgument),
        (lambda broker: broker.declare_queue("bystander", durable=False), PreconditionFailed),
        (lambda broker: broker.bind("known", "unknown", "key"), UnknownQueue),
        (lambda broker: broker.bind("unknown", "bystander", "key"), UnknownExchange),
        (lambda broker: broker.bind("", "bystander", "key"), InvalidArgument),
        (
            lambda broker: broker.bind("by headers", "bystander", arguments={"x-match": "some", "a": 1}),
            InvalidArgument,
        ),
        (lambda broker: broker.bind("by headers", "bystander", arguments={"x-match": 1}), InvalidArgument),
        (lambda broker: broker.delete_exchange(""), InvalidArgument),
        (lambda broker: broker.consume("unknown"), UnknownQueue),
        (lambda broker: broker.consume("bystander", prefetch=0), InvalidArgument),
        (lambda broker: broker.consume("bystander", prefetch=65_536), InvalidArgument),
        (lambda broker: broker.peek("bystander", 0), InvalidArgument),
        (lambda broker: broker.peek("bystander", 1_000_000), InvalidArgument),
        (lambda broker: broker.peek("bystander", "ten"), InvalidArgument),
        (lambda broker: broker.declare_queue("new", auto_delete="perhaps"), InvalidArgument),
        (lambda broker: broker.declare_queue("new", durable="perhaps"), InvalidArgument),
        (lambda broker: broker.declare_exchange("new", durable=1.5), InvalidArgument),
        (lambda broker: broker.delete_queue("bystander", if_empty="yes"), InvalidArgument),
        (lambda broker: broker.consume("bystander", auto_ack="yes"), InvalidArgument),
        (lambda broker: broker.get("bystander", auto_ack="yes"), InvalidArgument),
    ],
)
def test_a_wrong_request_is_refused_and_the_same_client_goes_on(
    broker: posthouse.Broker, ask: Ask, error: type[PosthouseError]
) -> None:
    with pytest.raises(error):
        ask(broker)
    assert works(broker)


def test_a_connection_to_something_that_is_no_address_is_refused() -> None:
    for address in ("http://127.0.0.1:1", "tcp://127.0.0.1", "ipc://", "nonsense", "tcp://127.0.0.1:port"):
        with pytest.raises(InvalidArgument, match="tcp://host:port"):
            posthouse.connect(address, timeout_s=0.2)


@pytest.mark.parametrize("number", range(10))
def test_garbage_on_the_door_ends_its_own_connection_only(
    shared: BrokerProcess, broker: posthouse.Broker, number: int
) -> None:
    name, data = next(itertools.islice(raw_attacks(random.Random(SEED)), number, None))
    door = shared.pid_of("door")
    before = psutil.Process(door).memory_info().rss
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(raw_connection(shared.tcp, data))
        with shared.connect(door=True, timeout_s=60.0) as other:
            assert works(other), name
        assert psutil.Process(door).memory_info().rss - before < 64 * MIB, name
    assert works(broker)


def test_half_open_connections_are_closed_and_give_their_descriptors_back(
    shared: BrokerProcess, broker: posthouse.Broker
) -> None:
    door = psutil.Process(shared.pid_of("door"))
    before = door.num_fds()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(raw_connection(shared.tcp, b"\xff\x00\x00"))
        eventually(lambda: door.num_fds() <= before + 5, 60.0, "the door closed them by itself")
    assert works(broker)


def test_mutated_frames_are_answered_or_dropped_and_never_end_a_process(
    shared: BrokerProcess, broker: posthouse.Broker
) -> None:
    source = random.Random(SEED)
    door = psutil.Process(shared.pid_of("door"))
    before = door.memory_info().rss
    for _ in range(5):
        dealer = Dealer(shared.tcp)
        for parts in mutations(source, 400):
            dealer.send(*parts)
        dealer.send(b"not posthouse")
        assert dealer.reset_within(10.0) is not None
        dealer.close()
    assert works(shared.connect(door=True))
    assert door.memory_info().rss - before < 64 * MIB


def test_a_peer_of_another_protocol_version_is_told_which_ones_there_are(
    shared: BrokerProcess, broker: posthouse.Broker
) -> None:
    dealer = Dealer(shared.tcp)
    frame = bytearray(good_hello(99))
    frame[2] = 9
    dealer.send(bytes(frame))
    reset = dealer.reset_within(10.0)
    dealer.close()
    assert reset is not None
    assert reset.code == "protocol_violation"
    assert "version 9" in reset.text
    assert "speaks 1" in reset.text


# ---- what a broker finds when it starts ----


def refused(*arguments: str) -> str:
    """What `posthouse serve` says when it does not start."""
    ran = run_command("serve", *arguments)
    assert ran.returncode == 1, (ran.returncode, ran.stdout, ran.stderr)
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    return ran.stderr


def test_a_data_directory_that_others_can_write_to_is_refused(short_path: Path) -> None:
    data = short_path / "open"
    data.mkdir()
    data.chmod(0o777)
    said = refused("--data", str(data), "--listen", "tcp://127.0.0.1:0")
    assert "data_directory_in_use" in said
    assert str(data) in said
    assert list(data.iterdir()) == []


def test_a_data_directory_of_somebody_else_is_refused(short_path: Path) -> None:
    data = Path("/")
    if os.geteuid() == 0:
        data = short_path / "theirs"
        data.mkdir(mode=0o700)
        os.chown(data, 12345, -1)
    said = refused("--data", str(data), "--listen", "tcp://127.0.0.1:0")
    assert "data_directory_in_use" in said
    assert "belongs to user" in said


@pytest.mark.parametrize(
    "content", [b"listen = ", b"\xff\xfe", b"colour = 'red'", b"body_bytes_max = 'many'", b"listen = 'udp://1'"]
)
def test_a_configuration_that_cannot_be_used_is_refused_by_name(short_path: Path, content: bytes) -> None:
    file = short_path / "posthouse.toml"
    file.write_bytes(content)
    assert "invalid_argument" in refused("--data", str(short_path / "d"), "--config", str(file))
    assert not (short_path / "d").exists()


def test_a_configuration_that_is_not_there_is_refused_by_name(short_path: Path) -> None:
    assert "no-such.toml" in refused("--config", str(short_path / "no-such.toml"))


def test_a_port_in_use_is_reported_while_local_clients_are_served_and_taken_when_it_is_free(
    short_path: Path,
) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        process = BrokerProcess(short_path, listen=f"tcp://127.0.0.1:{port}")
        stack.callback(process.clean_up)
        program = process.launch()
        eventually(lambda: f"cannot listen on tcp://127.0.0.1:{port}" in process.log, 60.0, process.log)
        broker = process.connect()
        broker.declare_queue("bystander")
        assert works(broker)
        assert program.poll() is None
        assert "Traceback" not in process.log
        server.close()
        process.wait_up("door", within_s=60.0)
        assert works(process.connect(door=True))


def test_a_disk_that_cannot_be_written_to_is_refused_at_the_start(short_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        place = short_path / "disk"
        if can_mount():
            stack.enter_context(mounted(place, 8 * MIB, is_read_only=True))
        else:
            place.mkdir(mode=0o500)
        said = refused("--data", str(place / "d"), "--listen", "tcp://127.0.0.1:0")
    assert str(place) in said


# ---- what happens to the disk while it runs ----


def test_a_flipped_bit_takes_one_queue_out_of_service_and_no_other(process: BrokerProcess) -> None:
    broker = process.connect()
    for name in ("q", "bystander"):
        broker.declare_queue(name)
    for number in range(100):
        broker.publish("", b"%d" % number * 100, "q")
    assert process.stop() == 0
    journals = [path for path in (process.data / "journal").glob("queue_q_*/*") if path.stat().st_size > 4_096]
    segment = max(journals, key=lambda path: path.stat().st_size)
    content = bytearray(segment.read_bytes())
    content[content.index(b"50" * 100) + 20] ^= 4
    segment.write_bytes(content)

    process.start()

    process.wait_logged("exited", actor="queue:q", code=20)
    process.wait_logged("quarantined", actor="queue:q")
    assert str(segment.parent) in process.log, "the log says where the damage is"
    again = process.connect(timeout_s=90.0)
    asks: list[Ask] = [
        lambda broker: broker.publish("", b"x", "q"),
        lambda broker: broker.get("q"),
        lambda broker: broker.consume("q"),
        lambda broker: broker.queue_info("q"),
    ]
    for ask in asks:
        begun_at = time.monotonic()
        with pytest.raises(ActorDown, match="quarantined"):
            ask(again)
        assert time.monotonic() - begun_at < 80.0, "the answer came at once, not at the deadline"
    assert works(process.connect())
    states = {node["id"]: node["state"] for node in again.tree()}
    assert (states["queue:q"], states["queue:bystander"]) == ("quarantined", "up")
    assert segment.read_bytes() == content, "nobody truncated what an operator may salvage"


def test_on_a_full_disk_publishers_are_refused_consumers_go_on_and_space_heals_it(
    short_path: Path,
) -> None:
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(disk_to_fill(short_path / "disk"))
        config = short_path / "posthouse.toml"
        config.write_text(f"disk_free_bytes_min = {disk.low_bytes}\nsegment_bytes_max = {MIB}\n")
        process = stack.enter_context(BrokerProcess(disk.path, "--config", str(config)))
        broker = process.connect()
        for name in ("q", "bystander"):
            broker.declare_queue(name)
        broker.declare_queue("passing", durable=False)
        with broker.publisher("") as out:
            out.send_many([b"%03d" % number * 100 for number in range(500)], "q")
        generation = process.generation_of("queue:q")
        disk.fill()

        error = eventually(lambda: _refusal_of(broker), 60.0, "a publisher is refused")
        assert error.code == "disk_space_low"
        out = broker.publisher("")
        out.send_many([b"x"] * 10, "q")
        with pytest.raises(PublishError) as caught:
            out.flush()
        assert (len(caught.value.refused), caught.value.unknown) == (10, [])
        before = broker.queue_info("q")
        assert broker.publish("", b"x", "passing").queues == ["passing"]
        with broker.consume("q", prefetch=100) as messages:
            got: list[bytes] = []
            while len(got) < before.ready:
                for message in messages.batch(100, timeout_s=60.0):
                    got.append(message.body)
                    message.ack()
        assert got[:500] == [b"%03d" % number * 100 for number in range(500)]
        disk.empty()

        for queue in ("q", "bystander"):  # each looks at the disk by itself
            eventually(lambda: _refusal_of(broker, queue) is None, 60.0, "a publisher is served again")  # noqa: B023
        broker.purge_queue("bystander")
        assert works(broker)
        assert process.generation_of("queue:q") == generation, "nobody crashed on the way"


def _refusal_of(broker: posthouse.Broker, queue: str = "q") -> Refused | None:
    try:
        broker.publish("", b"probe", queue)
    except Refused as error:
        return error
    return None
