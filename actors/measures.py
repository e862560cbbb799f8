"""The measures of every kind of actor: which words there are, and what they mean.

Pure. Every page begins with what all actors show; what follows depends on the kind. `docs/metrics.md` lists them under
the names that Prometheus sees. Figures are written once a second, by the actor's loop, except for what is counted as
it happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from posthouse.actors.measure import ATTEMPTS, MICRO, WAITS, Measure, Page

# ---- all actors ----

ALL: Final = Page("actor")
MEASURED: Final = ALL.moment("measured_age_seconds", "Since these figures were written; more than 2: the loop is busy.")
ROUNDS: Final = ALL.counter("rounds", "Turns of the actor's loop.")
BUSY: Final = ALL.counter("busy_seconds", "Time the loop was at work, not waiting.", scale=1 / MICRO)
FRAMES_RECEIVED: Final = ALL.counter("frames_received", "Frames taken from the mailbox.")
FRAMES_SENT: Final = ALL.counter("frames_sent", "Frames handed to ZeroMQ.")
FRAMES_UNSENT: Final = ALL.counter("frames_unsent", "Frames that ZeroMQ had no room for; their links send them again.")
MAILBOX: Final = ALL.gauge("mailbox_frames", "Most frames that one turn found waiting, within the last second.")
LINKS: Final = ALL.gauge("links", "Sessions with clients and other actors.")
BACKLOG: Final = ALL.gauge("backlog_bytes", "Bytes that wait for credit or an acknowledgement of a peer.")
REFUSED: Final = ALL.counter("refused_requests", "Requests that were answered with a typed error.")
VIOLATIONS: Final = ALL.counter("protocol_violations", "Sessions ended because of what the peer sent.")
STALLS: Final = ALL.counter("credit_stalls", "Times a link had to wait because its peer gave no more credit.")
REPLAY: Final = ALL.gauge("replay_seconds", "Time the last start took to rebuild the state.", scale=1 / MICRO)
JOURNAL_BYTES: Final = ALL.gauge("journal_bytes", "Bytes in the journal.")
JOURNAL_SEGMENTS: Final = ALL.gauge("journal_segments", "Segments of the journal.")
JOURNAL_CHUNKS: Final = ALL.counter("journal_chunks", "Group commits.")
JOURNAL_SYNCS: Final = ALL.counter("journal_syncs", "Syncs of the journal that succeeded.")
JOURNAL_SYNC_FAILURES: Final = ALL.counter("journal_sync_failures", "Syncs of the journal that failed.")
JOURNAL_REFUSED: Final = ALL.counter("journal_refused_commits", "Commits undone because the disk was full.")
JOURNAL_TORN: Final = ALL.counter("journal_torn_tails", "Starts that found a torn tail and set it aside.")
JOURNAL_SYNC: Final = ALL.histogram("journal_sync_seconds", "Time a sync took.")

# ---- queues ----

QUEUE: Final = Page("queue", ALL)
READY: Final = QUEUE.gauge("ready", "Messages that wait for a consumer.")
UNACKED: Final = QUEUE.gauge("unacked", "Messages that consumers hold.")
WAITING: Final = QUEUE.gauge("waiting", "Messages that wait for their next attempt.")
LEAVING: Final = QUEUE.gauge("leaving", "Messages on their way to the dead letters.")
BODY_BYTES: Final = QUEUE.gauge("body_bytes", "Bytes of the bodies of all messages in the queue.")
MEMORY_BYTES: Final = QUEUE.gauge("memory_bytes", "Bytes of batches that are kept in memory.")
CONSUMERS: Final = QUEUE.gauge("consumers", "Consumers.")
OLDEST_READY: Final = QUEUE.moment("oldest_ready_age_seconds", "Since the oldest ready message was published.")
OLDEST_UNACKED: Final = QUEUE.moment("oldest_unacked_age_seconds", "Since the longest-held message was delivered.")
STORED: Final = QUEUE.counter("stored", "Messages taken in.")
DELIVERED: Final = QUEUE.counter("delivered", "Deliveries, repeated ones included.")
REDELIVERED: Final = QUEUE.counter("redelivered", "Deliveries after the first.")
ACKED: Final = QUEUE.counter("acked", "Messages that were acked.")
REJECTED: Final = QUEUE.counter("rejected", "Messages that were nacked or rejected.")
DUPLICATES: Final = QUEUE.counter("duplicates", "Messages that had been taken in before.")
EXPIRED: Final = QUEUE.counter("expired", "Messages whose time to live was over.")
DROPPED: Final = QUEUE.counter("dropped", "Messages dropped by the queue's policy.")
DEAD_LETTERED: Final = QUEUE.counter("dead_lettered", "Messages that became dead letters.")
NOT_TAKEN: Final = QUEUE.counter("refused", "Messages that were not taken in; their publishers were told why.")
QUEUE_PURGED: Final = QUEUE.counter("purged", "Messages that were purged.")
LATE_CALLS: Final = QUEUE.counter("late_calls", "Calls dropped because nobody waited for them any more.")
BREAKER_OPEN: Final = QUEUE.gauge("breaker_open", "1 while the outage breaker holds deliveries back.")
BREAKER_OPENED: Final = QUEUE.counter("breaker_opened", "Times the outage breaker opened.")
ATTEMPT: Final = QUEUE.histogram("delivery_attempts", "Which attempt each delivery was.", ATTEMPTS)
DELIVERY: Final = QUEUE.histogram("delivery_seconds", "From publishing to the first delivery.", WAITS)

# ---- exchanges ----

EXCHANGE: Final = Page("exchange", ALL)
PUBLISHED: Final = EXCHANGE.counter("published", "Messages that publishers sent.")
ROUTED: Final = EXCHANGE.counter("routed", "Copies of messages handed to queues.")
UNROUTED: Final = EXCHANGE.counters(
    "unrouted",
    "Messages that no queue wanted, by what became of them.",
    "fate",
    ("held", "dead-letter", "alternate", "return", "drop"),
)
NOT_PUBLISHED: Final = EXCHANGE.counter("refused", "Messages that were refused; their publishers were told why.")
DELAYED: Final = EXCHANGE.counter("delayed", "Messages handed to the delay scheduler.")
REPLIES: Final = EXCHANGE.counter("replies", "Replies passed back to their callers.")
HELD: Final = EXCHANGE.gauge("held", "Messages held for queues to come.")
HELD_BYTES: Final = EXCHANGE.gauge("held_bytes", "Bytes of their bodies.")
OLDEST_HELD: Final = EXCHANGE.moment("oldest_held_age_seconds", "Since the oldest held message was held.")
RELEASED: Final = EXCHANGE.counter("released", "Held messages that a queue got in the end.")
UNCONFIRMED: Final = EXCHANGE.gauge("unconfirmed", "Messages whose publishers wait for their receipts.")
CONFIRM: Final = EXCHANGE.histogram("confirm_seconds", "From a batch's arrival to its receipt.")

# ---- the delay scheduler ----

DELAY_PAGE: Final = Page("delay", ALL)
SCHEDULED: Final = DELAY_PAGE.gauge("scheduled", "Messages that wait for their time.")
RECURRING: Final = DELAY_PAGE.gauge("recurring", "Recurring schedules.")
OVERDUE: Final = DELAY_PAGE.gauge("overdue", "Messages that are due and have not left yet.")
NEXT_DUE: Final = DELAY_PAGE.gauge("next_due_timestamp_seconds", "When the next message is due; 0: none.", scale=0.001)
TAKEN: Final = DELAY_PAGE.counter("taken", "Messages taken in.")
FIRED: Final = DELAY_PAGE.counter("fired", "Messages sent to their exchange.")
CANCELLED: Final = DELAY_PAGE.counter("cancelled", "Messages cancelled.")
REPLACED: Final = DELAY_PAGE.counter("replaced", "Messages whose place another with the same key took.")
RETRIED: Final = DELAY_PAGE.counter("retried", "Messages that wait again since their exchange could not take them.")
DELAY_DEAD: Final = DELAY_PAGE.counter("dead_lettered", "Messages that became dead letters.")
LATENESS: Final = DELAY_PAGE.histogram("lateness_seconds", "From the due time of messages to their leaving.", WAITS)

# ---- the dead letters ----

DEAD_LETTER_PAGE: Final = Page("dead-letter", ALL)
LETTERS: Final = DEAD_LETTER_PAGE.gauge("letters", "Dead letters in the store.")
LETTER_BYTES: Final = DEAD_LETTER_PAGE.gauge("letter_bytes", "Bytes of their bodies.")
LETTERS_LEAVING: Final = DEAD_LETTER_PAGE.gauge("letters_leaving", "Dead letters on their way back.")
STORE_FULL: Final = DEAD_LETTER_PAGE.gauge("store_full", "1 while nothing more is taken.")
BURIED: Final = DEAD_LETTER_PAGE.counters(
    "buried",
    "Messages that became dead letters, by reason.",
    "reason",
    (
        "rejected",
        "attempts_exhausted",
        "expired",
        "max_length",
        "no_subscriber",
        "delivery_failed",
        "too_many_hops",
        "taken_back",
        "other",
    ),
)
REDRIVEN: Final = DEAD_LETTER_PAGE.counter("redriven", "Dead letters sent back.")
PURGED: Final = DEAD_LETTER_PAGE.counter("purged", "Dead letters deleted.")
REPUBLISHED: Final = DEAD_LETTER_PAGE.counter("republished", "Dead letters sent on to a dead-letter exchange.")
NOT_BURIED: Final = DEAD_LETTER_PAGE.counter("refused", "Messages that were not taken in; they stay where they died.")

# ---- the registry ----

REGISTRY_PAGE: Final = Page("registry", ALL)
EXCHANGES: Final = REGISTRY_PAGE.gauge("exchanges", "Exchanges declared.")
QUEUES: Final = REGISTRY_PAGE.gauge("queues", "Queues declared.")
BINDINGS: Final = REGISTRY_PAGE.gauge("bindings", "Bindings.")
CLIENTS: Final = REGISTRY_PAGE.gauge("clients", "Clients connected.")

# ---- the door ----

DOOR_PAGE: Final = Page("door", ALL)
CONNECTIONS: Final = DOOR_PAGE.gauge("connections", "Clients connected over TCP.")
BYTES_RECEIVED: Final = DOOR_PAGE.counter("bytes_received", "Bytes of frames from clients.")
BYTES_SENT: Final = DOOR_PAGE.counter("bytes_sent", "Bytes of frames to clients.")

# ---- the monitor ----

MONITOR_PAGE: Final = Page("monitor", ALL)
EVENTS_PUBLISHED: Final = MONITOR_PAGE.counter("events_published", "Events published to posthouse.events.")
EVENTS_DROPPED: Final = MONITOR_PAGE.counter("events_dropped", "Events that were never published: too many waited.")

PAGES: Final = {
    page.kind: page for page in (QUEUE, EXCHANGE, DELAY_PAGE, DEAD_LETTER_PAGE, REGISTRY_PAGE, DOOR_PAGE, MONITOR_PAGE)
}


def measures_of(kind: str) -> Iterator[Measure]:
    """What actors of this kind show, in the order of their pages."""
    yield from ALL
    yield from PAGES.get(kind, ())
