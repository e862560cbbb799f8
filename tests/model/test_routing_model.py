"""The router beside brute force: patterns, headers, graphs, and a topology that keeps changing."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.actors.headers_match import HeadersTable
from posthouse.actors.routing import Router
from posthouse.actors.topic_trie import TopicTrie
from posthouse.actors.topology import Topology
from posthouse.transport import messages
from posthouse.transport.errors import Refused
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from posthouse.transport.names import encode_headers

# ---- the rules once more, written as plainly as possible ----


def words_match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(words_match(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and words_match(rest, words[1:])


def topic_matches(pattern: str, key: str) -> bool:
    return words_match(pattern.split(".") if pattern else [], key.split(".") if key else [])


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def same(left: Any, right: Any) -> bool:
    if kind_of(left) != kind_of(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(same(left[at], right[at]) for at in range(len(left)))
    if isinstance(left, dict):
        return sorted(left) == sorted(right) and all(same(left[name], right[name]) for name in left)
    return bool(left == right)


def headers_match(arguments: dict[str, Any], headers: dict[str, Any]) -> bool:
    mode = arguments.get("x-match", "all")
    verdicts = []
    for name, wanted in arguments.items():
        if name == "x-match" or (name.startswith("x-") and "with-x" not in mode):
            continue
        verdicts.append(name in headers and (wanted is None or same(wanted, headers[name])))
    return any(verdicts) if mode.startswith("any") else all(verdicts)


def binding_matches(kind: str, binding: BindingSpec, key: str, headers: dict[str, Any]) -> bool:
    if kind == "direct":
        return binding.key == key
    if kind == "topic":
        return topic_matches(binding.key, key)
    return kind == "fanout" or headers_match(binding.arguments or {}, headers)


def naive_route(topology: Topology, start: str, key: str, headers: dict[str, Any]) -> tuple[list[str], str]:
    """Rounds over a set of exchanges until nothing new is reached."""
    reached: set[str] = {start}
    queues: set[str] = set()
    chain = start
    while True:
        found = set(reached)
        for name in sorted(reached):
            spec = topology.exchanges[name]
            if name == "":
                matching = [BindingSpec(source="", destination=key)] if key in topology.queues else []
            else:
                matching = [
                    binding
                    for binding in topology.bindings()
                    if binding.source == name and binding_matches(spec.kind, binding, key, headers)
                ]
            queues |= {binding.destination for binding in matching if not binding.to_exchange}
            found |= {binding.destination for binding in matching if binding.to_exchange}
            if not matching and spec.alternate in topology.exchanges:
                assert spec.alternate is not None
                if name == chain and spec.alternate not in reached:
                    chain = spec.alternate
                found.add(spec.alternate)
        if found == reached:
            break
        reached = found
    policy = topology.exchanges[chain].unrouted
    return sorted(queues), "none" if queues else "return" if policy == "alternate" else policy


# ---- values ----

words = st.sampled_from(["a", "b", "", "*", "#", "c*"])
keys = st.lists(words, max_size=6).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", "", "*", "#", "##"]), max_size=6).map(".".join)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.0, 1.0, -2.0, 0.5, float("nan"), float("inf")]),
    st.sampled_from(["", "1", "a"]),
    st.sampled_from([b"", b"1", b"a"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=3,
)
header_names = st.sampled_from(["a", "b", "c", "x-a", "x-match"])
headers_values = st.dictionaries(header_names, values, max_size=4)
modes = st.sampled_from(["all", "any", "all-with-x", "any-with-x"])


@st.composite
def match_arguments(draw: st.DrawFn) -> dict[str, Any]:
    arguments = draw(st.dictionaries(st.sampled_from(["a", "b", "c", "x-a"]), values, max_size=3))
    if draw(st.booleans()):
        arguments["x-match"] = draw(modes)
    return arguments


# ---- one table against brute force ----


@settings(deadline=None, max_examples=300)
@given(st.lists(patterns, max_size=8), st.lists(keys, min_size=1, max_size=5), st.data())
def test_the_trie_finds_what_a_recursive_matcher_finds(
    added: list[str], routing_keys: list[str], data: st.DataObject
) -> None:
    trie = TopicTrie()
    present: dict[int, str] = dict(enumerate(added))
    for identity, pattern in present.items():
        trie.add(identity, BindingSpec(source="x", destination=str(identity), key=pattern))
    for identity in data.draw(st.lists(st.sampled_from(range(len(added))), unique=True)) if added else []:
        trie.remove(identity, BindingSpec(source="x", destination=str(identity), key=present.pop(identity)))
    for key in routing_keys:
        found = sorted(int(binding.destination) for binding in trie.match(key, None))
        assert found == sorted(identity for identity, pattern in present.items() if topic_matches(pattern, key))


@settings(deadline=None, max_examples=300)
@given(st.lists(match_arguments(), max_size=6), st.lists(headers_values, min_size=1, max_size=4), st.data())
def test_the_headers_index_finds_what_a_scan_finds(
    added: list[dict[str, Any]], messages_headers: list[dict[str, Any]], data: st.DataObject
) -> None:
    table = HeadersTable()
    present = dict(enumerate(added))
    for identity, arguments in present.items():
        table.add(identity, BindingSpec(source="x", destination=str(identity), arguments=arguments))
    for identity in data.draw(st.lists(st.sampled_from(range(len(added))), unique=True)) if added else []:
        del present[identity]
        table.remove(identity, BindingSpec(source="x", destination=str(identity)))
    for headers in messages_headers:
        found = sorted(int(binding.destination) for binding in table.match("", headers))
        assert found == [identity for identity, wanted in present.items() if headers_match(wanted, headers)]


# ---- a topology that keeps changing, with routers that follow it ----

names = st.sampled_from(["a", "b", "c", "d"])
queue_names = st.sampled_from(["q", "r", "a"])
exchange_specs = st.builds(
    lambda name, kind, durable, auto_delete, policy, alternate: ExchangeSpec(
        name=name,
        kind=kind,
        durable=durable,
        auto_delete=auto_delete,
        unrouted=policy if alternate is None else "alternate",
        alternate=alternate,
    ),
    names,
    st.sampled_from(["direct", "topic", "fanout", "headers"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["return", "drop"]),
    st.none() | names | st.just(""),
)
bindings = st.builds(
    lambda source, to_exchange, key, arguments: BindingSpec(
        source=source, destination=to_exchange[1], to_exchange=to_exchange[0], key=key, arguments=arguments
    ),
    names,
    st.tuples(st.just(False), queue_names) | st.tuples(st.just(True), names),
    st.sampled_from(["", "q", "a.b", "#", "a.*", "#.b"]),
    st.none() | st.builds(dict, a=st.sampled_from([1, True, None])),
)


class ChangingTopology(RuleBasedStateMachine):
    """Any operation either refuses and changes nothing, or makes one change that every follower can apply."""

    @initialize(specs=st.lists(exchange_specs, max_size=6), made=st.lists(bindings, max_size=12))
    def start(self, specs: list[ExchangeSpec], made: list[BindingSpec]) -> None:
        self.topology = Topology()
        self.follower = Topology()
        self.routers = {name: Router(self.topology, name) for name in ("", "a", "b", "c", "d")}
        self.attempt(self.topology.declare_queue, QueueSpec(name="q"))
        self.attempt(self.topology.declare_queue, QueueSpec(name="r"))
        for spec in specs:
            self.attempt(self.topology.declare_exchange, spec)
        for binding in made:
            self.attempt(self.topology.bind, binding)

    def attempt(self, operation: Any, *arguments: Any, **more: Any) -> None:
        before = messages.encode(self.topology.snapshot())
        try:
            change: TopologyChange | None = operation(*arguments, **more)
        except Refused:
            change = None
        assert messages.encode(self.topology.snapshot()) == before
        if change is not None:
            assert self.topology.apply(change)
            self.follow(change)

    def follow(self, change: TopologyChange) -> None:
        for router in self.routers.values():
            router.refresh()
        decoded = messages.decode(messages.encode(change))
        assert isinstance(decoded, TopologyChange)
        assert self.follower.apply(decoded)

    @rule(spec=exchange_specs)
    def declare_exchange(self, spec: ExchangeSpec) -> None:
        self.attempt(self.topology.declare_exchange, spec)

    @rule(name=queue_names, durable=st.booleans(), owner=st.integers(0, 2))
    def declare_queue(self, name: str, durable: bool, owner: int) -> None:
        spec = QueueSpec(name=name, durable=durable, exclusive=owner > 0, owner=owner)
        self.attempt(self.topology.declare_queue, spec)

    @rule(binding=bindings, client=st.none() | st.integers(0, 2))
    def bind(self, binding: BindingSpec, client: int | None) -> None:
        self.attempt(self.topology.bind, binding, client=client)

    @rule(binding=bindings)
    def bind_again(self, binding: BindingSpec) -> None:
        self.attempt(self.topology.bind, binding)
        if binding in list(self.topology.bindings()):
            assert self.topology.bind(binding) is None

    @precondition(lambda self: any(True for _ in self.topology.bindings()))
    @rule(data=st.data())
    def unbind(self, data: st.DataObject) -> None:
        self.attempt(self.topology.unbind, data.draw(st.sampled_from(list(self.topology.bindings()))))

    @rule(name=names | st.just(""), if_unused=st.booleans())
    def delete_exchange(self, name: str, if_unused: bool) -> None:
        self.attempt(self.topology.delete_exchange, name, if_unused)

    @rule(name=queue_names, client=st.none() | st.integers(0, 2))
    def delete_queue(self, name: str, client: int | None) -> None:
        self.attempt(self.topology.delete_queue, name, client=client)

    @rule()
    def boot(self) -> None:
        change = self.topology.drop_transient()
        if change is not None:
            self.follow(change)
        assert all(queue.durable and not queue.exclusive for queue in self.topology.queues.values())
        assert all(exchange.durable for exchange in self.topology.exchanges.values())

    @rule(key=st.sampled_from(["", "q", "r", "a", "a.b", "b"]), value=st.sampled_from([None, 1, True, "1"]))
    def publish_everywhere(self, key: str, value: Any) -> None:
        headers = {} if value is None else {"a": value}
        for name, router in self.routers.items():
            if name not in self.topology.exchanges:
                continue
            expected = naive_route(self.topology, name, key, headers)
            for route in (router.route(key, headers), router.route_raw(key, encode_headers(headers))):
                # Which exchange on the way knew the queues is for the figures, and no business of the model.
                assert (list(route.queues), "none" if route.queues else route.fallback) == expected
            explanation = router.explain(key, headers)
            assert explanation.queues == expected[0]
            assert (explanation.unrouted or "none") == expected[1]

    @invariant()
    def changes_in_order_make_the_snapshot(self) -> None:
        snapshot = self.topology.snapshot()
        assert self.follower.snapshot() == snapshot
        fresh = Topology()
        fresh.apply(snapshot)
        assert fresh.snapshot() == snapshot

    @invariant()
    def no_binding_dangles(self) -> None:
        for binding in self.topology.bindings():
            assert binding.source in self.topology.exchanges
            ends = self.topology.exchanges if binding.to_exchange else self.topology.queues
            assert binding.destination in ends


TestChangingTopology = ChangingTopology.TestCase
TestChangingTopology.settings = settings(deadline=None, max_examples=100, stateful_step_count=30)
