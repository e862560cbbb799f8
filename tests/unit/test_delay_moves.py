"""Moves, by example: lanes keep order, groups keep their bounds, ends count down."""

from __future__ import annotations

import msgspec

from posthouse.actors.delay_bodies import Bodies, Body, joined, kept
from posthouse.actors.delay_moves import MOVE_BYTES_MAX, MOVE_MESSAGES_MAX, Moves, grouped
from posthouse.transport import messages
from posthouse.transport.batch import due_of, headers_of, lengths_of, properties_of
from posthouse.transport.messages import Batch, Durability, Options
from tests.support.delay_samples import NOW_MS, delayed_batch


def bodies_of(*datas: bytes, options: Options | None = None) -> list[Body]:
    bodies = Bodies()
    batch = delayed_batch(*[1] * len(datas), bodies=datas, options=options or Options(deliver_at_ms=0))
    return bodies.cut(batch, range(len(datas)))


def decoded(raw: bytes) -> Batch:
    batch = messages.decode(raw)
    assert isinstance(batch, Batch)
    return batch


def test_moves_that_leave_later_share_a_lane_and_one_that_overtakes_gets_its_own() -> None:
    moves = Moves()
    first = moves.number("flights", 10, [1, 2], 10, 501)
    second = moves.number("flights", 20, [3], 20, 502)
    earlier = moves.number("flights", 15, [4], 15, 503)
    after = moves.number("flights", 16, [5], 16, 504)
    other = moves.number("other", 1, [6], 1, 505)
    assert [move.key for move in (first, second, earlier, after, other)] == [
        (501, 1),
        (501, 3),
        (503, 1),
        (503, 2),
        (505, 1),
    ]
    moves.forget_lanes("flights")
    assert moves.number("flights", 30, [7], 30, 506).key == (506, 1)
    moves.forget_lanes("never there")


def test_what_is_on_its_way_is_counted_by_exchange_and_ends_once() -> None:
    moves = Moves()
    one, two = moves.number("flights", 10, [1, 2], 10, 501), moves.number("flights", 10, [3], 10, 501)
    moves.add(one)
    moves.add(two)
    assert (len(moves), moves.on_way_to("flights"), moves.on_way_to("other")) == (2, 3, 0)
    assert list(moves) == [one, two]
    assert list(moves.within(501, 1, 3)) == [one, two]
    assert list(moves.within(501, 2, 3)) == [], "no move begins there"
    assert moves.get(501, 3) is two
    assert moves.remove(one)
    assert not moves.remove(one)
    assert moves.on_way_to("flights") == 1
    assert moves.remove(two)
    assert (len(moves), moves.on_way_to("flights")) == (0, 0)


def test_messages_of_one_template_and_one_time_leave_together_whatever_batch_they_came_in() -> None:
    bodies = Bodies()
    (one,) = bodies.cut(delayed_batch(1, bodies=[b"a"]), [0])
    (two,) = bodies.cut(delayed_batch(2, stream=2, bodies=[b"b"]), [0])
    (other,) = bodies.cut(delayed_batch(1, exchange="other", bodies=[b"c"]), [0])
    assert one.template is two.template
    groups = grouped([(1, 10, one), (2, 10, other), (3, 10, two), (4, 11, one)])
    assert [(due, ids) for due, ids, _ in groups] == [(10, [1, 3]), (10, [2]), (11, [4])]


def test_a_move_has_bounds_in_messages_and_bytes() -> None:
    (small,) = bodies_of(b"x")
    sizes = [len(ids) for _, ids, _ in grouped([(one, 10, small) for one in range(2 * MOVE_MESSAGES_MAX + 1)])]
    assert sizes == [MOVE_MESSAGES_MAX, MOVE_MESSAGES_MAX, 1]
    (large,) = bodies_of(b"x" * (MOVE_BYTES_MAX // 2))
    assert [len(ids) for _, ids, _ in grouped([(one, 10, large) for one in range(5)])] == [2, 2, 1]


def test_a_dedup_id_leaves_in_a_batch_of_its_own() -> None:
    (body,) = bodies_of(b"x", options=Options(deliver_at_ms=0, dedup_id="d"))
    assert [ids for _, ids, _ in grouped([(1, 10, body), (2, 10, body)])] == [[1], [2]]


def test_the_batch_that_leaves_is_what_the_publisher_said_but_for_the_delay() -> None:
    batch = msgspec.structs.replace(
        delayed_batch(1, 2, 3, bodies=[b"a", b"", b"ccc"]),
        headers=msgspec.Raw(messages.encode({"carrier": "UA"})),
        properties=memoryview(messages.encode([["m-1", None], None, ["m-3", "c"]])),
        options=Options(durability=Durability.OS, content_type="text/plain", deliver_at_ms=0, schedule_key=None),
    )
    taken = Bodies().cut(batch, [2, 0])
    left = decoded(joined(taken, 77, 5, NOW_MS + 3))
    assert (left.exchange, left.routing_key, left.stream, left.first_seq, left.count) == ("flights", "UA", 77, 5, 2)
    assert (bytes(left.bodies), list(lengths_of(left))) == (b"ccca", [3, 1])
    assert headers_of(left) == {"carrier": "UA"}
    assert properties_of(left) == [("m-3", "c"), ("m-1", None)]
    assert left.options == Options(durability=Durability.OS, content_type="text/plain")
    assert (left.due, left.published_ms) == (None, NOW_MS + 3)


def test_a_batch_that_asked_for_nothing_but_a_delay_leaves_without_options() -> None:
    left = decoded(joined(bodies_of(b"a"), 77, 5, NOW_MS))
    assert (left.options, left.properties) == (None, None)


def test_a_batch_that_is_copied_forward_keeps_its_key_and_that_it_is_delayed() -> None:
    (body,) = bodies_of(b"a", options=Options(deliver_at_ms=0, schedule_key="k", content_type="t"))
    copied = decoded(kept([body]))
    assert copied.options == Options(deliver_at_ms=0, schedule_key="k", content_type="t")
    assert Bodies().cut(copied, [0])[0].template.schedule_key == "k"


def test_a_time_for_the_whole_batch_and_times_of_their_own_make_the_same_template() -> None:
    bodies = Bodies()
    shared = msgspec.structs.replace(delayed_batch(1, 2), options=Options(deliver_at_ms=NOW_MS), due=None)
    assert list(due_of(shared)) == [NOW_MS, NOW_MS]
    assert bodies.template_of(shared) is bodies.template_of(delayed_batch(5))


def test_bodies_are_counted_in_bytes_and_kept_once() -> None:
    bodies = Bodies()
    one, two = bodies.cut(delayed_batch(1, 2, bodies=[b"abc", b"de"]), [0, 1])
    bodies.keep(1, one)
    bodies.keep(1, one)
    bodies.keep(2, two)
    assert (bodies.size, 1 in bodies) == (5, True)
    assert bodies.take(1) is one
    assert bodies.take(1) is None
    assert bodies.size == 2


def test_templates_are_bounded() -> None:
    bodies = Bodies()
    first = bodies.template_of(delayed_batch(1, exchange="0"))
    for number in range(1, 5_000):
        bodies.template_of(delayed_batch(1, exchange=str(number)))
    assert bodies.template_of(delayed_batch(1, exchange="0")) is not first
