"""The stories of several actors as one: their order, what was published, what only a burial remembers."""

from __future__ import annotations

from posthouse.biography.events import Copy, Told
from posthouse.biography.telling import in_order, publishes_in
from tests.support.biography_samples import START_MS


def told(ms: int, what: str, marks: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Told:
    return Told(ms and START_MS + ms, "actor", what, what, {}, marks, after)


def order(*lists: list[Told]) -> list[str]:
    return [event.what for event in in_order(lists, START_MS)]


def copy(
    stream: int, seq: int, *, at_ms: int = 5, chosen: str | None = None, published_ms: int = 0, actor: str = "queue:ewr"
) -> Copy:
    return Copy(
        at_ms=at_ms and START_MS + at_ms,
        actor=actor,
        exchange="flights",
        routing_key="k",
        stream=stream,
        seq=seq,
        published_ms=START_MS + published_ms,
        headers={},
        chosen_id=chosen,
        correlation_id=None,
        size=1,
        durability=None,
    )


def test_times_decide_between_actors() -> None:
    assert order([told(1, "a"), told(30, "d")], [told(2, "b"), told(20, "c")]) == ["a", "b", "c", "d"]


def test_one_journal_stays_in_its_order_even_when_its_clock_was_set_back() -> None:
    assert order([told(50, "a"), told(10, "b")], [told(20, "x")]) == ["x", "a", "b"]


def test_nothing_arrives_before_it_set_out_whatever_the_clocks_say() -> None:
    published = [told(9_000, "published", marks=("sent a1-1",))]
    stored = [told(5, "stored", after=("sent a1-1",)), told(7, "acked")]
    assert order(stored, published) == ["published", "stored", "acked"]


def test_an_unknown_time_is_that_of_what_came_before() -> None:
    assert order([told(10, "a"), told(0, "b"), told(0, "c")], [told(11, "x")]) == ["a", "b", "c", "x"]


def test_journals_that_contradict_each_other_are_told_all_the_same() -> None:
    ring = [told(1, "a", marks=("m",), after=("n",))], [told(2, "b", marks=("n",), after=("m",))]
    assert sorted(order(*ring, [told(3, "c")])) == ["a", "b", "c"]


def test_copies_in_several_queues_are_one_message_published() -> None:
    copies = [copy(0xA1, 2, at_ms=9), copy(0xA1, 2, at_ms=7, actor="queue:jfk")]
    (only,) = publishes_in(copies, {})
    assert only.at_ms == START_MS + 7


def test_what_came_by_a_move_was_not_published_again() -> None:
    copies = [copy(0xA1, 2), copy(0xE1, 9, at_ms=90, chosen="a1-2")]
    assert [one.stream for one in publishes_in(copies, {(0xE1, 9): "redriven"})] == [0xA1]


def test_a_move_that_its_source_forgot_is_known_by_the_name_it_carries() -> None:
    copies = [copy(0xA1, 2), copy(0xE1, 9, at_ms=90, chosen="a1-2")]
    assert [one.stream for one in publishes_in(copies, {})] == [0xA1]


def test_one_name_given_to_two_messages_is_two() -> None:
    copies = [copy(0xA1, 2, chosen="x"), copy(0xA2, 1, at_ms=50, chosen="x", published_ms=49)]
    assert len(publishes_in(copies, {})) == 2
