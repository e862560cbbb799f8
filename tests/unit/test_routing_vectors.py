"""Every vector recorded from a live RabbitMQ 3.10, through the whole router."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from posthouse.actors.routing import Router
from posthouse.actors.topic_trie import HASH_WORDS_MAX, TopicTrie, split_words
from posthouse.actors.topology import Topology
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from posthouse.transport.names import encode_headers

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "golden" / "routing_vectors.json").read_text(encoding="utf-8")
)["vectors"]

NO_NATIVE_TYPE = frozenset("TD")
"""AMQP timestamps and decimals: MessagePack values of ours are never one."""


class NotNativeError(Exception):
    """The vector holds a value that no header of ours can have."""


def value_of(tagged: list[Any]) -> Any:
    tag, value = tagged
    if tag in NO_NATIVE_TYPE:
        raise NotNativeError(tag)
    if tag == "A":
        return [value_of(item) for item in value]
    if tag == "F":
        return {name: value_of(item) for name, item in value.items()}
    return bytes.fromhex(value) if tag == "x" else value


def table_of(tagged: dict[str, list[Any]] | None) -> dict[str, Any] | None:
    return None if tagged is None else {name: value_of(item) for name, item in tagged.items()}


def bound(kind: str, key: str = "", arguments: dict[str, Any] | None = None) -> Router:
    topology = Topology()
    declare(topology, topology.declare_exchange(ExchangeSpec(name="x", kind=kind)))
    declare(topology, topology.declare_queue(QueueSpec(name="q")))
    declare(topology, topology.bind(BindingSpec(source="x", destination="q", key=key, arguments=arguments)))
    return Router(topology, "x")


def declare(topology: Topology, change: TopologyChange | None) -> None:
    assert change is not None
    topology.apply(change)


def assert_agree(router: Router, key: str, headers: dict[str, Any] | None, expected: bool) -> None:
    """Both ways to route and the explanation say what RabbitMQ said."""
    queues = ("q",) if expected else ()
    vector = (key, headers)
    assert router.route(key, headers).queues == queues, vector
    assert router.route_raw(key, encode_headers(headers)).queues == queues, vector
    explanation = router.explain(key, headers)
    assert explanation.queues == list(queues), vector
    assert (explanation.matched_count, explanation.unmatched_count) == (int(expected), int(not expected)), vector


def test_the_file_is_the_one_these_tests_were_written_for() -> None:
    assert Counter(vector["type"] for vector in VECTORS) == {
        "topic": 486,
        "headers": 598,
        "direct": 55,
        "fanout": 3,
    }


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic"])
def test_keys_match_as_in_rabbitmq(kind: str) -> None:
    used = refused = 0
    for vector in VECTORS:
        if vector["type"] != kind:
            continue
        used += 1
        if kind == "topic" and split_words(vector["binding"]).count("#") > HASH_WORDS_MAX:
            # RabbitMQ 3.10 took these, 4.3.5 and we refuse them; the trie itself still knows the answer.
            refused += 1
            with pytest.raises(InvalidArgument, match="at most 2"):
                bound(kind, vector["binding"])
            trie = TopicTrie()
            trie.add(1, BindingSpec(source="x", destination="q", key=vector["binding"]))
            assert bool(trie.match(vector["message"], None)) is vector["matched"], vector
        else:
            assert_agree(bound(kind, vector["binding"]), vector["message"], None, vector["matched"])
    assert (used, refused) == {"direct": (55, 0), "fanout": (3, 0), "topic": (486, 27)}[kind]


def test_headers_match_as_in_rabbitmq() -> None:
    used = left_out = refused = 0
    for vector in VECTORS:
        if vector["type"] != "headers":
            continue
        try:
            arguments, headers = table_of(vector["binding"]), table_of(vector["message"])
        except NotNativeError:
            left_out += 1
            continue
        used += 1
        if vector["matched"] is None:
            refused += 1
            with pytest.raises(InvalidArgument, match="x-match"):
                bound("headers", arguments=arguments)
        else:
            assert_agree(bound("headers", arguments=arguments), "", headers, vector["matched"])
    assert (used, left_out, refused) == (564, 34, 3)
