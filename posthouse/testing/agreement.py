"""Whether the numbers that a broker shows agree with each other and with what its clients wrote down (I24).

For a broker at rest, some seconds after the last message: figures are written once a second and read once a second.
Pure: what was shown comes in, sentences come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from posthouse.transport.messages import QueueInfo
from posthouse.transport.messages_dead import DeadLetterStoreInfo
from posthouse.transport.messages_monitor import ActorReading
from posthouse.transport.names import DEAD_LETTER, actor_of_queue

GAUGES: Final = ("ready", "unacked", "waiting", "leaving")
COUNTERS: Final = ("stored", "delivered", "acked", "dead_lettered")


def disagreements(
    came: Mapping[str, int],
    queues: Iterable[QueueInfo],
    letters: DeadLetterStoreInfo,
    readings: Iterable[ActorReading],
) -> list[str]:
    """What does not agree. `came`: by queue, how many different messages its consumers have seen."""
    shown = {reading.id: reading.values for reading in readings}
    found = [text for info in queues for text in _of_queue(info, came, shown.get(actor_of_queue(info.name)))]
    return [*found, *_of_letters(letters, shown.get(DEAD_LETTER))]


def _of_queue(info: QueueInfo, came: Mapping[str, int], shown: Mapping[str, float] | None) -> Iterator[str]:
    there = info.ready + info.unacked + info.waiting + info.leaving
    gone = info.acked + info.dead_lettered + info.expired + info.dropped + info.late_calls
    if info.stored != there + gone:
        yield f"queue {info.name} stored {info.stored}, of which {there} are there and {gone} are gone"
    if came.get(info.name, 0) > info.stored:
        yield f"queue {info.name} stored {info.stored}, and {came[info.name]} different messages came from it"
    if shown is None:
        yield f"queue {info.name} shows no figures"
        return
    for name in GAUGES:
        if shown.get(name) != getattr(info, name):
            yield f"queue {info.name} has {getattr(info, name)} {name}, and its figures show {shown.get(name)}"
    for name in COUNTERS:
        # A life that was killed may have shown what its journal never heard of; what was shown is not taken back.
        if shown.get(name, -1) < getattr(info, name):
            yield f"queue {info.name} counts {getattr(info, name)} {name}, and its figures show {shown.get(name)}"


def _of_letters(info: DeadLetterStoreInfo, shown: Mapping[str, float] | None) -> Iterator[str]:
    there, gone = info.messages, info.redriven + info.republished + info.purged
    if info.buried != there + gone:
        yield f"{info.buried} became dead letters, of which {there} are there and {gone} are gone"
    if shown is None:
        yield "the dead letters show no figures"
    elif shown.get("letters") != info.messages:
        yield f"there are {info.messages} dead letters, and their figures show {shown.get('letters')}"
