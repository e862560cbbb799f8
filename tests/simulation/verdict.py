"""What must hold of everything that clients were told, whatever happened to the broker.

Written without the product's matcher: routes are a table of the run's plan.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from tests.simulation.clients import Delivered, History

Routes = dict[str, set[str]]


def judge(history: History, expected: dict[bytes, set[str]]) -> list[str]:
    """The promises that were broken, in words, each after the number of its invariant in docs/guarantees.md.

    `expected`: the queues each published message belongs in.
    """
    by_copy: dict[tuple[bytes, str], list[Delivered]] = defaultdict(list)
    for delivered in history.delivered:
        by_copy[delivered.body, delivered.queue].append(delivered)
    found = {
        "I1": _lost(history, expected, by_copy),
        "I2": _invented(history, by_copy),
        "I3": history.spoiled,
        "I4": _never_done(history),
        "I7": _dishonest(by_copy),
        "I8": _out_of_order(history),
        "I9": _early(history),
        "I10": _half_fired(history, expected, by_copy),
        "I11": history.early,
        "I13": _twice_in_a_queue(history, by_copy),
        "I14": _misrouted(history, expected, by_copy),
        "I15": _wrongly_held(history, by_copy),
        "I17": _cancelled_in_vain(history, by_copy),
    }
    return [f"{invariant}: {text}" for invariant, texts in found.items() for text in texts]


def _lost(
    history: History, expected: dict[bytes, set[str]], by_copy: dict[tuple[bytes, str], list[Delivered]]
) -> list[str]:
    found = []
    for body, receipt in history.confirmed.items():
        if body in history.due:
            if receipt.queues:
                found.append(f"{body!r} is delayed, and its receipt names {receipt.queues}")
            found += [
                f"scheduled and never delivered: {body!r} in {queue}"
                for queue in expected[body]
                if (body, queue) not in by_copy and body not in history.perhaps_gone
            ]
            continue
        found += [
            f"confirmed and never delivered: {body!r} in {queue}"
            for queue in receipt.queues
            if (body, queue) not in by_copy and queue in expected.get(body, {queue})
        ]
    return found


def _invented(history: History, by_copy: dict[tuple[bytes, str], list[Delivered]]) -> list[str]:
    found = []
    for (body, queue), copies in by_copy.items():
        if body not in history.published:
            found.append(f"delivered and never published: {body!r} from {queue}")
            continue
        if body in history.refused:
            found.append(f"refused with {history.refused[body]} and yet delivered: {body!r} from {queue}")
        if any(copy.routing_key != history.published[body][1] for copy in copies):
            found.append(f"the routing key of {body!r} has changed")
    return found


EXHAUSTING = ("three",)
"""Queues in which a message also dies of its attempts; elsewhere only a reject ends in the dead letters."""


NARROW = ("brief",)
"""Exchanges that hold so little that what they held may have been among the dead letters, and have come back last."""

RANKED = ("ranked",)
"""Queues with priorities."""


def _twice_in_a_queue(history: History, by_copy: dict[tuple[bytes, str], list[Delivered]]) -> list[str]:
    """A message has one offset, and one more for each time it died and was sent back: moved exactly once."""
    found = []
    for (body, queue), copies in by_copy.items():
        offsets = sorted({copy.offset for copy in copies})
        deaths = history.rejected.get((body, queue), 0)
        # A power cut may forget a delivery, and an undo then takes back what somebody was given.
        deaths += max(copy.cuts for copy in copies) if history.undone else 0
        if queue not in EXHAUSTING and len(offsets) > 1 + deaths:
            found.append(f"stored too often: {body!r} in {queue} at offsets {offsets} after {deaths} rejects")
    return found


def _never_done(history: History) -> list[str]:
    """Whatever was rejected, retried, buried and sent back: at last somebody acked it."""
    return [
        f"confirmed and never acked: {body!r} in {queue}"
        for body, receipt in history.confirmed.items()
        for queue in receipt.queues
        if (body, queue) not in history.acked
    ]


def _dishonest(by_copy: dict[tuple[bytes, str], list[Delivered]]) -> list[str]:
    """Attempts rise with every delivery. A power cut may forget attempts, since they are not synced by themselves."""
    found = []
    for (body, queue), copies in by_copy.items():
        latest: dict[int, Delivered] = {}
        for after in copies:
            before = latest.get(after.offset)
            latest[after.offset] = after
            if before is not None and after.attempt <= before.attempt and after.cuts == before.cuts:
                found.append(
                    f"attempt {after.attempt} of {body!r} in {queue} follows attempt {before.attempt}, no power cut"
                )
    return found


def _out_of_order(history: History) -> list[str]:
    """With one consumer on a queue, first deliveries of a stream come in the order it was published.

    Where a queue heeds priorities, that holds within each of them. One order is not promised (`docs/hold.md`): what an
    exchange held may overtake what it had routed elsewhere when it died without a receipt, since that is sent again
    and finds the bindings of then.
    """
    found = []
    firsts: dict[tuple[str, int, int], list[tuple[int, Delivered]]] = defaultdict(list)
    consumers: dict[str, set[str]] = defaultdict(set)
    lowest: dict[tuple[bytes, str], int] = {}
    for delivered in history.delivered:
        consumers[delivered.queue].add(delivered.consumer)
        # What comes back from the dead letters stands behind what is there.
        if lowest.setdefault((delivered.body, delivered.queue), delivered.offset) != delivered.offset:
            continue
        if delivered.attempt == 1 and delivered.body in history.order and delivered.cuts == 0:
            stream, number = history.order[delivered.body]
            rank = history.priority[delivered.body] if delivered.queue in RANKED else 0
            firsts[delivered.queue, stream, rank].append((number, delivered))
    for (queue, _, _), seen in firsts.items():
        if len(consumers[queue]) > 1:
            continue
        for (before, earlier), (after, delivered) in pairwise(seen):
            if after < before and not _was_overtaken(history, delivered.body, earlier.body):
                found.append(f"{delivered.body!r} in {queue} was first delivered after a later message of its stream")
    return found


def _was_overtaken(history: History, late: bytes, early: bytes) -> bool:
    def was_held(body: bytes) -> bool:
        return body in history.confirmed and history.confirmed[body].held

    if was_held(late):
        return history.published[late][0] in NARROW
    return was_held(early) and history.was_sent_again(late)


def _misrouted(
    history: History, expected: dict[bytes, set[str]], by_copy: dict[tuple[bytes, str], list[Delivered]]
) -> list[str]:
    found = [
        f"the receipt of {body!r} names {receipt.queues}, it belongs in {expected[body]}"
        for body, receipt in history.confirmed.items()
        if body not in history.due and set(receipt.queues) != expected.get(body, set(receipt.queues))
    ]
    found += [
        f"delivered where it does not belong: {body!r} from {queue}"
        for body, queue in by_copy
        if queue not in expected.get(body, {queue})
    ]
    for body, is_bound in history.promised_routes:
        has_arrived = body in history.confirmed
        if has_arrived != is_bound:
            found.append(f"{body!r} was published while bound={is_bound} was confirmed, and routed={has_arrived}")
    return found


def _early(history: History) -> list[str]:
    return [
        f"{delivered.body!r} was delivered {history.due[delivered.body] - delivered.at_ms} ms before its time"
        for delivered in history.delivered
        if delivered.at_ms < history.due.get(delivered.body, 0)
    ]


def _cancelled_in_vain(history: History, by_copy: dict[tuple[bytes, str], list[Delivered]]) -> list[str]:
    return [
        f"cancelled, confirmed, and yet delivered: {body!r} from {queue}"
        for body, queue in by_copy
        if body in history.cancelled
    ]


def _half_fired(
    history: History, expected: dict[bytes, set[str]], by_copy: dict[tuple[bytes, str], list[Delivered]]
) -> list[str]:
    """A delayed message that may have been cancelled reached all of its queues, or none."""
    found = []
    for body in history.perhaps_gone:
        reached = {queue for queue in expected[body] if (body, queue) in by_copy}
        if reached and reached != expected[body]:
            found.append(f"{body!r} reached {reached} of {expected[body]}")
    return found


HOLDERS = ("late", "later", "rescued")
"""Where what was held ends: with those who came late, or in the queue for what nobody came for."""


def _wrongly_held(history: History, by_copy: dict[tuple[bytes, str], list[Delivered]]) -> list[str]:
    """What was held reached somebody: one of the late, or the queue for dead letters, and not both."""
    found = []
    for body, (exchange, _, _) in history.published.items():
        reached = {queue for queue in HOLDERS if (body, queue) in by_copy}
        is_held = body in history.confirmed and history.confirmed[body].held
        if is_held and not reached:
            found.append(f"held and never delivered: {body!r}")
        if exchange == "brief" and len(reached) > 1:
            found.append(f"released and a dead letter too: {body!r} in {sorted(reached)}")
        if exchange == "patient" and "rescued" in reached:
            found.append(f"a dead letter before its time: {body!r}")
    return found
