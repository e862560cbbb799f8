"""What a broker shows against what its clients wrote down: agreement is silent, every disagreement is named."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from posthouse.testing.agreement import disagreements
from posthouse.transport.messages import QueueInfo
from posthouse.transport.messages_dead import DeadLetterStoreInfo
from posthouse.transport.messages_monitor import ActorReading

INFO = QueueInfo("work", stored=10, delivered=12, acked=6, dead_lettered=2, ready=1, unacked=1)
LETTERS = DeadLetterStoreInfo(
    messages=1, leaving=0, bytes=1, messages_max=9, bytes_max=9, is_full=False, buried=2, redriven=1, purged=0,
    refused=0, journal_bytes=64,
)  # fmt: skip
SHOWN = {"ready": 1, "unacked": 1, "waiting": 0, "leaving": 0, "stored": 10, "delivered": 12, "acked": 6,
         "dead_lettered": 2}  # fmt: skip


def look(
    info: QueueInfo = INFO,
    letters: DeadLetterStoreInfo = LETTERS,
    came: int = 9,
    shown: dict[str, Any] | None = None,
    shown_letters: int | None = 1,
) -> list[str]:
    readings = [ActorReading(id="queue:work", kind="queue", name="work", values={**SHOWN, **(shown or {})})]
    if shown_letters is not None:
        readings.append(ActorReading(id="dead-letter", kind="dead-letter", values={"letters": shown_letters}))
    return disagreements({"work": came}, [info], letters, readings)


def test_what_agrees_is_not_mentioned() -> None:
    assert look() == []
    assert look(shown={"delivered": 13}) == [], "a killed life may have shown what its journal never heard of"


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        ({"info": structs.replace(INFO, acked=7)}, "queue work stored 10, of which 2 are there and 9 are gone"),
        ({"came": 11}, "queue work stored 10, and 11 different messages came from it"),
        ({"shown": {"ready": 2}}, "queue work has 1 ready, and its figures show 2"),
        ({"shown": {"stored": 9}}, "queue work counts 10 stored, and its figures show 9"),
        ({"letters": structs.replace(LETTERS, purged=1)}, "2 became dead letters, of which 1 are there and 2 are gone"),
        ({"shown_letters": 2}, "there are 1 dead letters, and their figures show 2"),
        ({"shown_letters": None}, "the dead letters show no figures"),
    ],
)
def test_every_disagreement_is_named(seen: dict[str, Any], text: str) -> None:
    assert text in look(**seen)


def test_a_queue_without_figures_is_named() -> None:
    assert "queue work shows no figures" in disagreements({}, [INFO], LETTERS, [])
