"""Biographies of messages whose processes were killed on the way, and of a broker that runs or is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import posthouse
from posthouse import Retry
from posthouse.biography.events import Biography
from posthouse.biography.reading import biography_of
from posthouse.errors import UnknownMessage
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually

SOON = Retry(max_attempts=2, first_delay_s=0.05, jitter=False)


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        yield broker


def story_of(process: BrokerProcess, message_id: str) -> list[tuple[str, str]]:
    """(actor, what) of every event."""
    return [(event.actor, event.what) for event in biography_of(str(process.data), message_id).events]


def take(broker: posthouse.Broker, queue: str) -> posthouse.Message:
    message = broker.get(queue)
    assert message is not None
    return message


def live_through(process: BrokerProcess, broker: posthouse.Broker) -> str:
    """Everything that can happen to a message, and the death of its queue's process."""
    broker.declare_exchange("orders", "topic")
    broker.declare_queue("work", retry=SOON)
    broker.bind("orders", "work", "order.#")
    broker.publish("orders", b"other", "order.eu")
    broker.publish("orders", b"it", "order.eu", message_id="order-17", headers={"carrier": "UA"})
    with broker.consume("work", prefetch=2) as messages:
        other, first = (messages.get(timeout_s=60.0) for _ in range(2))
        assert other is not None
        assert first is not None
        other.ack()
        first.nack(error=KeyError("amount"))
        second = messages.get(timeout_s=60.0)
        assert second is not None
        second.nack(error=KeyError("amount"))
        eventually(lambda: broker.dead_letters.list(queue="work"))
    assert broker.dead_letters.redrive(queue="work").moved == 1
    with broker.consume("work") as messages:
        third = messages.get(timeout_s=60.0)
        assert third is not None
        process.kill("queue:work")
        again = messages.get(timeout_s=20.0)
        assert again is not None
        assert again.attempt == 2
        again.ack()
    eventually(lambda: broker.queue_info("work").acked == 2)
    return again.message_id


def test_the_whole_story_of_a_message_through_kills_retries_death_and_redrive(
    process: BrokerProcess,
) -> None:
    with process.connect() as broker:
        message_id = live_through(process, broker)
    found = biography_of(str(process.data), message_id)
    assert [(event.actor, event.what) for event in found.events] == [
        ("publisher", "published"),
        ("exchange:orders", "routed"),
        ("queue:work", "stored"),
        ("queue:work", "delivered"),
        ("queue:work", "failed"),
        ("queue:work", "waits"),
        ("queue:work", "delivered"),
        ("queue:work", "failed"),
        ("queue:work", "died"),
        ("dead-letter", "buried"),
        ("queue:work", "dead_lettered"),
        ("dead-letter", "redrive"),
        ("queue:work", "stored"),
        ("dead-letter", "redriven"),
        ("queue:work", "delivered"),
        ("queue:work", "restarted"),
        ("queue:work", "delivered"),
        ("queue:work", "acked"),
    ]
    check_details(found)
    # The same once the broker is gone, and its directory is only files.
    process.stop()
    assert biography_of(str(process.data), "order-17").events[: len(found.events)] == found.events


def check_details(found: Biography) -> None:
    assert found.message_id == "order-17"
    assert (found.exchange, found.routing_key) == ("orders", "order.eu")
    published, routed, stored, delivered, failed, waits = found.events[:6]
    assert published.details["headers"] == {"carrier": "UA"}
    assert [(one["key"], one["destination"]) for one in routed.details["matched"]] == [("order.#", "work")]
    assert stored.details["offset"] == 2
    assert delivered.details["attempt"] == 1
    assert delivered.details["consumer"]
    assert (failed.details["error_type"], failed.details["consumer"]) == ("KeyError", delivered.details["consumer"])
    assert "Traceback" in failed.details["traceback"] or failed.details["error"]
    assert waits.details["due"]
    assert all(event.at is not None for event in found.events)
    times = [event.at for event in found.events if event.at is not None]
    assert max(times) - min(times) == times[-1] - times[0]
    assert any("acked by" in line for line in found.now)
    assert found.notes == []


def test_a_delayed_message_is_found_under_each_of_its_names(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    broker.declare_queue("later")
    receipt = broker.publish("", b"in a moment", "later", delay_s=0.05)
    with broker.consume("later") as messages:
        message = messages.get(timeout_s=60.0)
        assert message is not None
        message.ack()
    eventually(lambda: ("queue:later", "acked") in story_of(shared, receipt.message_id))
    assert message.message_id != receipt.message_id
    for message_id in (receipt.message_id, message.message_id):
        found = biography_of(str(shared.data), message_id)
        assert set(found.ids) == {receipt.message_id, message.message_id}
        what = [event.what for event in found.events if event.what != "fired"]
        assert what == ["published", "scheduled", "due", "routed", "stored", "delivered", "acked"]


def test_a_held_message_is_released_to_the_binding_that_came(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    broker.declare_exchange("early", "topic", unrouted="hold")
    receipt = broker.publish("early", b"anybody?", "a.b")
    assert receipt.held
    broker.declare_queue("late")
    broker.bind("early", "late", "a.*")
    eventually(lambda: broker.queue_info("late").ready == 1)
    take(broker, "late").ack()
    eventually(lambda: broker.queue_info("late").acked == 1)
    found = biography_of(str(shared.data), receipt.message_id)
    what = [event.what for event in found.events if event.what != "landed"]
    assert what == ["published", "routed", "held", "released", "stored", "delivered", "acked"]
    assert found.events[1].details["unrouted"] == "hold"
    assert "held, then released" in next(event.text for event in found.events if event.what == "stored")


def test_bindings_that_changed_since_are_named(shared: BrokerProcess, broker: posthouse.Broker) -> None:
    broker.declare_exchange("news", "topic")
    for name in ("one", "two"):
        broker.declare_queue(name)
    broker.bind("news", "one", "#")
    receipt = broker.publish("news", b"x", "k")
    broker.unbind("news", "one", "#")
    broker.bind("news", "two", "k")
    found = biography_of(str(shared.data), receipt.message_id)
    assert next(event for event in found.events if event.what == "routed").details["queues"] == ["one"]
    assert [note.split(" (")[0] for note in found.notes] == [
        "the binding 'news' → queue 'one' with key '#' matched then and is gone since",
        "the binding 'news' → queue 'two' with key 'k' would match now; it was made since",
    ]


def test_the_command_tells_it_while_the_broker_runs_and_says_what_it_does_not_know(
    shared: BrokerProcess, broker: posthouse.Broker
) -> None:
    broker.declare_queue("q")
    receipt = broker.publish("", b"x", "q")
    told = run_command("why", receipt.message_id, "--data", str(shared.data), "--json")
    assert told.returncode == 0
    assert [event["what"] for event in json.loads(told.stdout)["events"]] == ["published", "routed", "stored"]
    told = run_command("why", receipt.message_id, "--data", str(shared.data))
    assert "stored at offset 1" in told.stdout
    refused = run_command("why", receipt.message_id[:6], "--data", str(shared.data))
    assert refused.returncode == 1
    assert receipt.message_id in refused.stderr
    with pytest.raises(UnknownMessage, match="leave no trace"):
        biography_of(str(shared.data), "nobody")
