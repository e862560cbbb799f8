"""What changed in the topology, and who consumes, as news."""

from __future__ import annotations

from typing import Any

from posthouse.actors.topology_news import ConsumerNews, News, TopologyNews
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from posthouse.transport.messages_monitor import ActorReading

FLIGHTS = ExchangeSpec(name="flights", kind="topic", serial=1)
EWR = QueueSpec(name="ewr", serial=2)
BOUND = BindingSpec(source="flights", destination="ewr", key="#")


def _snapshot(*specs: Any) -> TopologyChange:
    return TopologyChange(
        version=9,
        is_snapshot=True,
        put_exchanges=tuple(spec for spec in specs if isinstance(spec, ExchangeSpec)),
        put_queues=tuple(spec for spec in specs if isinstance(spec, QueueSpec)),
        put_bindings=tuple(spec for spec in specs if isinstance(spec, BindingSpec)),
    )


def _short(told: list[News]) -> list[tuple[str, str]]:
    return [(news.kind, news.actor) for news in told]


def test_the_first_snapshot_is_no_news() -> None:
    assert TopologyNews().told(_snapshot(FLIGHTS, EWR, BOUND)) == []


def test_a_change_is_told_in_the_order_in_which_it_makes_sense() -> None:
    news = TopologyNews()
    news.told(_snapshot())
    made = TopologyChange(version=1, put_exchanges=(FLIGHTS,), put_queues=(EWR,), put_bindings=(BOUND,))
    assert _short(news.told(made)) == [
        ("declared", "exchange:flights"),
        ("declared", "queue:ewr"),
        ("bound", "exchange:flights"),
    ]
    gone = TopologyChange(version=2, drop_queues=("ewr",), drop_exchanges=("flights",), drop_bindings=(BOUND,))
    told = news.told(gone)
    assert _short(told) == [
        ("unbound", "exchange:flights"),
        ("deleted", "queue:ewr"),
        ("deleted", "exchange:flights"),
    ]
    assert told[0].text == "exchange:flights was unbound from queue:ewr with key '#'"
    assert told[0].fields == {"to": "queue:ewr", "key": "#"}


def test_what_a_later_snapshot_has_otherwise_happened_while_the_registry_was_not_heard() -> None:
    news = TopologyNews()
    news.told(_snapshot(FLIGHTS, EWR, BOUND))
    assert news.told(_snapshot(FLIGHTS, EWR, BOUND)) == []
    again = QueueSpec(name="ewr", serial=7)
    assert _short(news.told(_snapshot(again))) == [
        ("unbound", "exchange:flights"),
        ("deleted", "exchange:flights"),
        ("deleted", "queue:ewr"),
        ("declared", "queue:ewr"),
    ]


def test_a_change_before_any_snapshot_is_told_and_remembered() -> None:
    news = TopologyNews()
    assert _short(news.told(TopologyChange(version=1, put_queues=(EWR,)))) == [("declared", "queue:ewr")]
    assert _short(news.told(TopologyChange(version=2, drop_queues=("ewr", "never")))) == [
        ("deleted", "queue:ewr"),
        ("deleted", "queue:never"),
    ]


def test_arguments_of_a_binding_are_told_as_text_whatever_they_are() -> None:
    news = TopologyNews()
    binding = BindingSpec(source="", destination="e", to_exchange=True, arguments={"x": float("inf"), "b": b"\xff"})
    (told,) = news.told(TopologyChange(version=1, put_bindings=(binding,)))
    assert told.fields == {"to": "exchange:e", "key": "", "arguments": {"x": "inf", "b": "b'\\xff'"}}
    assert told.text == "exchange: was bound to exchange:e"


def _queue(consumers: float | None, ready: int = 0, state: str = "up", name: str = "ewr") -> ActorReading:
    values = {"ready": float(ready)} | ({} if consumers is None else {"consumers": consumers})
    return ActorReading(id=f"queue:{name}", kind="queue", name=name, state=state, values=values)


def test_consumers_that_come_and_go_are_news_and_those_found_are_not() -> None:
    news = ConsumerNews()
    assert news.read([_queue(2), ActorReading(id="door", kind="door")]) == []
    assert news.read([_queue(2)]) == []
    (came,) = news.read([_queue(3)])
    assert (came.kind, came.actor, came.severity) == ("consumers", "queue:ewr", "info")
    assert came.text == "queue:ewr has 3 consumers, not 2"
    (new,) = news.read([_queue(3), _queue(1, name="jfk")])
    assert new.text == "queue:jfk has 1 consumer, not 0"
    assert news.read([_queue(3)]) == []


def test_messages_that_nobody_takes_any_more_are_a_warning() -> None:
    news = ConsumerNews()
    news.read([_queue(1)])
    (left,) = news.read([_queue(0, ready=7)])
    assert (left.severity, left.fields) == ("warning", {"before": 1, "consumers": 0, "ready": 7})
    assert left.text == "queue:ewr has no consumers, not 1, and 7 messages wait"


def test_a_queue_that_is_rebuilt_has_not_lost_its_consumers() -> None:
    news = ConsumerNews()
    news.read([_queue(2)])
    assert news.read([_queue(0, state="restarting")]) == []
    assert news.read([_queue(None)]) == []
    assert news.read([_queue(2)]) == []
