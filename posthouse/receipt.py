"""What a publisher gets back."""

from __future__ import annotations

from typing import Final, Self, final

import msgspec

from posthouse.transport.messages import Durability, Receipt

NAMES: Final = {Durability.SYNC: "sync", Durability.OS: "os", Durability.MEMORY: "memory"}


@final
class PublishReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """Every queue in `queues` has the message, at least as safe as `durability` says (sync, os or memory).

    `held`: no queue wanted it, and it waits for one, as safe as that. `queues` is empty then, when the exchange drops
    what nobody wants or makes a dead letter of it, and for delayed messages, which are routed when they are due.
    `duplicate`: a queue had seen its `dedup_id`. `scheduled_id`: of a delayed message; None when its broker no longer
    remembers it. `message_id` is what `posthouse why` and `Message.message_id` call it.
    """

    queues: list[str]
    durability: str
    duplicate: bool = False
    held: bool = False
    scheduled_id: str | None = None
    message_id: str = ""

    @classmethod
    def of(cls, receipt: Receipt, number: int, message_id: str | None = None) -> Self:
        """What the receipt of a range says about one message in it."""
        durability = NAMES[Durability(receipt.durability)]
        return cls(
            queues=sorted(receipt.queues),
            durability=durability,
            duplicate=receipt.duplicate,
            held=receipt.held,
            scheduled_id=str(receipt.scheduled_id + number - receipt.first_seq) if receipt.scheduled_id else None,
            message_id=message_id or f"{receipt.stream:x}-{number}",
        )
