"""Which bindings matched, from the registry's journal as it was and as it is."""

from __future__ import annotations

from posthouse.actors.registry_records import KIND_BOOT, KIND_CHANGE
from posthouse.actors.topology import Topology
from posthouse.biography.events import Moment
from posthouse.biography.route_story import Question, RouteStory
from posthouse.transport import messages
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from tests.support.biography_samples import START_MS

EWR = BindingSpec(source="flights", destination="ewr", key="*.EWR.*")
ALL = BindingSpec(source="flights", destination="ewr", key="#")


def changes(*more: tuple[int, str]) -> list[tuple[int, TopologyChange]]:
    """An exchange and a queue made at 1 ms and 2 ms, and then what is bound and unbound."""
    topology = Topology()
    found: list[tuple[int, TopologyChange]] = []

    def add(ms: int, change: TopologyChange | None) -> None:
        assert change is not None
        topology.apply(change)
        found.append((ms, change))

    add(1, topology.declare_exchange(ExchangeSpec(name="flights", kind="topic", serial=1)))
    add(2, topology.declare_queue(QueueSpec(name="ewr", serial=2)))
    for ms, what in more:
        if what.startswith("bind"):
            add(ms, topology.bind(EWR if what == "bind" else ALL))
        elif what == "unbind":
            add(ms, topology.unbind(EWR))
        elif what == "snapshot":
            found.append((ms, topology.snapshot()))
        else:
            add(ms, topology.delete_exchange("flights"))
    return found


def answer(
    at_ms: int, lines: list[tuple[int, TopologyChange]], start_ms: int = START_MS
) -> tuple[Question, RouteStory]:
    question = Question(start_ms and START_MS + at_ms, "flights", "UA.EWR.IAH", {}, "sent a1-1")
    story = RouteStory([question])
    for position, (ms, change) in enumerate(lines, start=1):
        moment = Moment(start_ms and start_ms + ms, 1)
        story.tell(moment, position, KIND_CHANGE, memoryview(messages.encode(change)))
    story.finish()
    return question, story


def matched(question: Question) -> list[str]:
    assert question.then is not None
    return [one.key for one in question.then.matched]


def test_the_bindings_of_that_moment_count_and_not_those_of_now() -> None:
    lines = changes((10, "bind"), (20, "unbind"), (30, "bind all"))
    question, _ = answer(15, lines)
    assert matched(question) == ["*.EWR.*"]
    assert not question.is_uncertain
    assert question.notes == [
        "the binding 'flights' → queue 'ewr' with key '*.EWR.*' matched then and is gone since "
        "(2023-11-14 22:13:20.020 UTC)",
        "the binding 'flights' → queue 'ewr' with key '#' would match now; it was made since "
        "(2023-11-14 22:13:20.030 UTC)",
    ]


def test_nothing_is_said_where_nothing_changed() -> None:
    question, _ = answer(99, changes((10, "bind")))
    assert (matched(question), question.notes) == (["*.EWR.*"], [])


def test_before_it_was_bound_nothing_matched() -> None:
    question, _ = answer(5, changes((10, "bind")))
    assert question.then is not None
    assert (question.then.queues, question.then.unrouted) == ([], "return")


def test_an_exchange_that_was_deleted_since() -> None:
    question, _ = answer(15, changes((10, "bind"), (20, "delete")))
    assert matched(question) == ["*.EWR.*"]
    assert question.notes == ["exchange 'flights' has been deleted since"]


def test_an_exchange_that_was_not_there() -> None:
    question, _ = answer(25, changes((20, "delete")))
    assert question.then is None
    assert question.notes == ["exchange 'flights' was not there, says the registry's journal"]


def test_a_journal_that_begins_later_is_said_to() -> None:
    question, _ = answer(15, changes((10, "bind"), (50, "snapshot"))[-1:])
    assert matched(question) == ["*.EWR.*"]
    assert question.is_uncertain
    assert question.notes[0].startswith("the bindings of that moment are not known: the registry's journal begins at")


def test_a_journal_without_times_is_said_to_have_none() -> None:
    question, _ = answer(15, changes((10, "bind"), (20, "unbind")), start_ms=0)
    assert question.is_uncertain
    assert question.notes == [
        "it is not known when things were bound: the registry's journal of that time has no times"
    ]


def test_without_a_journal_nothing_is_known() -> None:
    question, _ = answer(15, [])
    assert question.notes == ["the registry's journal cannot be read, so nothing is known of bindings"]


def test_lost_changes_make_it_uncertain() -> None:
    lines = changes((10, "bind"), (20, "unbind"), (30, "bind all"))
    question, story = answer(99, [*lines[:2], *lines[3:]])
    assert question.is_uncertain
    assert story.notes == ["changes are missing from the registry's journal, so bindings may be wrong"]


def test_what_is_transient_ends_with_a_new_start_of_the_broker() -> None:
    topology = Topology()
    queue = topology.declare_queue(QueueSpec(name="UA.EWR.IAH", durable=False))
    assert queue is not None
    question = Question(START_MS + 5, "", "UA.EWR.IAH", {}, "sent a1-1")
    story = RouteStory([question])
    story.tell(Moment(START_MS, 1), 1, KIND_CHANGE, memoryview(messages.encode(queue)))
    story.tell(Moment(START_MS + 9, 2), 2, KIND_BOOT, memoryview(b"boot"))
    story.finish()
    assert question.then is not None
    assert question.then.queues == ["UA.EWR.IAH"]
    assert len(question.notes) == 1


def test_it_knows_whose_journal_is_whose() -> None:
    _, story = answer(15, changes())
    assert story.journals == {
        "exchange::0": "exchange:",
        "exchange:flights:1": "exchange:flights",
        "queue:ewr:2": "queue:ewr",
    }
