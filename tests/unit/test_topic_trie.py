"""The topic trie: RabbitMQ's table, odd keys, adding and removing."""

from __future__ import annotations

import pytest

from posthouse.actors.topic_trie import TopicTrie, split_words
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import BindingSpec


def binding(key: str, destination: str = "q") -> BindingSpec:
    return BindingSpec(source="x", destination=destination, key=key)


def trie_of(*patterns: str) -> TopicTrie:
    trie = TopicTrie()
    for pattern in patterns:
        trie.add(pattern, binding(pattern))
    return trie


def matches(pattern: str, key: str) -> bool:
    return bool(trie_of(pattern).match(key, None))


def matched_by(trie: TopicTrie, key: str) -> list[str]:
    return sorted(found.key for found in trie.match(key, None))


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("regions.na.cities.*", "regions.na.cities.toronto", True),
        ("regions.na.cities.*", "regions.na.cities", False),
        ("audit.events.#", "audit.events", True),
        ("audit.events.#", "audit.events.users.signup", True),
        ("audit.events.#", "audit.users", False),
        ("#", "", True),
        ("#", "anything.at.all", True),
        ("*", "word", True),
        ("*", "two.words", False),
        ("*", "", False),
        ("a.*.b", "a..b", True),
        ("a.*.c", "a.b.d.c", False),
        ("a.#", "a", True),
        ("#.b", "b", True),
        ("a.*", "a.b.c", False),
        ("*.EWR.#", "UA.EWR.IAH", True),
    ],
)
def test_the_conformance_table_holds(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("", "", True),
        ("", ".", False),
        (".", ".", True),
        ("*.*", ".", True),
        ("#.", "a.", True),
        ("##", "##", True),
        ("##", "a.b", False),
        ("a*", "ab", False),
        ("a", "A", False),
        ("*", "#", True),
        ("a.b", "a.*", False),
        ("#.#.#", "", True),
        ("#.a.#", "b.a.c", True),
        ("#.a.#.a", "a.b.a", True),
        ("#.*", "", False),
        ("*.#.*", "a", False),
        ("*.#.*", "a.b", True),
    ],
)
def test_odd_patterns_and_keys_match_as_in_rabbitmq(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


def test_the_empty_key_has_no_words_and_a_dot_has_two() -> None:
    assert split_words("") == []
    assert split_words(".") == ["", ""]


def test_every_matching_binding_is_found_once() -> None:
    trie = trie_of("#", "a.#", "#.c", "a.*.c", "a.b.c", "#.b.#", "a.b", "*")
    assert matched_by(trie, "a.b.c") == ["#", "#.b.#", "#.c", "a.#", "a.*.c", "a.b.c"]


def test_a_binding_is_found_once_however_many_ways_its_two_hashes_can_match() -> None:
    trie = trie_of("#.a.#")
    assert len(trie.match(".".join("a" * 100), None)) == 1


def test_many_hashes_cost_states_not_combinations() -> None:
    trie = trie_of(".".join(["#", "a"] * 20))
    assert trie.match(".".join("a" * 120) + ".b", None) == []


def test_bindings_with_the_same_pattern_are_kept_apart() -> None:
    trie = TopicTrie()
    trie.add(1, binding("a.#", "p"))
    trie.add(2, binding("a.#", "q"))
    trie.add(2, binding("a.#", "q"))
    assert sorted(found.destination for found in trie.match("a", None)) == ["p", "q"]
    trie.remove(1, binding("a.#", "p"))
    assert [found.destination for found in trie.match("a", None)] == ["q"]


def test_removing_a_binding_leaves_the_branches_others_need() -> None:
    trie = trie_of("a.b", "a.b.c", "a.*", "a.#")
    trie.remove("a.b.c", binding("a.b.c"))
    assert matched_by(trie, "a.b") == ["a.#", "a.*", "a.b"]
    trie.remove("a.b", binding("a.b"))
    trie.remove("a.*", binding("a.*"))
    trie.remove("a.#", binding("a.#"))
    assert matched_by(trie, "a.b") == []
    assert trie._root.is_empty()


def test_removing_what_is_not_there_changes_nothing() -> None:
    trie = trie_of("a.b")
    trie.remove("a.b.c", binding("a.b.c"))
    trie.remove("another", binding("a.b"))
    trie.remove("a", binding("a"))
    assert matched_by(trie, "a.b") == ["a.b"]


def test_more_than_two_hash_words_are_refused() -> None:
    TopicTrie.check(binding("#.a.#.b##.*"))
    with pytest.raises(InvalidArgument, match=r"'#.a.#.#' has 3 words '#'; at most 2 are allowed"):
        TopicTrie.check(binding("#.a.#.#"))


def test_the_reason_names_key_and_pattern() -> None:
    assert TopicTrie.reason(binding("*.EWR.#"), "UA.EWR.IAH", None, True) == "'UA.EWR.IAH' matches '*.EWR.#'"
    assert TopicTrie.reason(binding("b"), "a", None, False) == "'a' does not match 'b'"
