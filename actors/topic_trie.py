"""The topic trie: finds the bindings whose pattern matches a routing key.

Words are split on `.`; `*` is exactly one word, `#` any number of words, none included. The empty key has no
words at all, but `a..b` has an empty word in the middle; a word that merely contains `*` or `#` is an
ordinary word. That is RabbitMQ's reading (rabbit_db_topic_exchange.erl), checked against a live one by
tests/golden/routing_vectors.json. No regular expressions: translations to them have gone wrong in several
brokers.

The cost of a match does not depend on the number of bindings, only on the branches the key can take. It knows
nothing of exchanges and queues.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, final

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import BindingSpec
from posthouse.transport.names import shown

HASH_WORDS_MAX: Final = 2
"""RabbitMQ's limit since 4.3.5: every further `#` multiplies the ways in which one key can match."""


def split_words(key: str) -> list[str]:
    """The words of a key. The empty key has none."""
    return key.split(".") if key else []


@final
class _Node:
    """The bindings whose pattern ends here, and where the next word leads."""

    __slots__ = ("any_words", "bindings", "hash_count", "is_hash", "one_word", "words")

    def __init__(self, is_hash: bool, hash_count: int) -> None:
        self.is_hash = is_hash
        self.hash_count = hash_count
        self.words: dict[str, _Node] = {}
        self.one_word: _Node | None = None
        self.any_words: _Node | None = None
        self.bindings: dict[Hashable, BindingSpec] = {}

    def child(self, word: str) -> _Node | None:
        if word == "*":
            return self.one_word
        return self.any_words if word == "#" else self.words.get(word)

    def put_child(self, word: str) -> _Node:
        child = self.child(word)
        if child is None:
            child = _Node(word == "#", self.hash_count + (word == "#"))
            if word == "*":
                self.one_word = child
            elif word == "#":
                self.any_words = child
            else:
                self.words[word] = child
        return child

    def drop_child(self, word: str) -> None:
        if word == "*":
            self.one_word = None
        elif word == "#":
            self.any_words = None
        else:
            del self.words[word]

    def is_empty(self) -> bool:
        return not (self.bindings or self.words or self.one_word or self.any_words)


@final
class TopicTrie:
    """The bindings of one topic exchange."""

    def __init__(self) -> None:
        self._root = _Node(is_hash=False, hash_count=0)

    @staticmethod
    def check(binding: BindingSpec) -> None:
        """Refuse a pattern with more than two `#` words, as RabbitMQ does."""
        count = split_words(binding.key).count("#")
        if count > HASH_WORDS_MAX:
            raise InvalidArgument(
                f"the topic pattern {shown(binding.key)} has {count} words '#'; at most {HASH_WORDS_MAX} are allowed"
            )

    def add(self, identity: Hashable, binding: BindingSpec) -> None:
        """Put in a binding. The same identity again changes nothing."""
        node = self._root
        for word in split_words(binding.key):
            node = node.put_child(word)
        node.bindings[identity] = binding

    def remove(self, identity: Hashable, binding: BindingSpec) -> None:
        """Take out a binding, and the branch that only it needed. One that is not there changes nothing."""
        path: list[tuple[_Node, str]] = []
        node = self._root
        for word in split_words(binding.key):
            child = node.child(word)
            if child is None:
                return
            path.append((node, word))
            node = child
        node.bindings.pop(identity, None)
        while path and node.is_empty():
            node, word = path.pop()
            node.drop_child(word)

    def match(self, routing_key: str, headers: dict[str, Any] | None) -> list[BindingSpec]:
        """The bindings that match, each once, in no particular order."""
        words = split_words(routing_key)
        count = len(words)
        found: list[BindingSpec] = []
        # A state is a node and the number of words behind it. Below one `#` each state can be reached in one
        # way only; below two it comes up once for every way to share the words out, so those are remembered.
        seen: set[tuple[_Node, int]] = set()
        work: list[tuple[_Node, int]] = [(self._root, 0)]
        while work:
            state = work.pop()
            node, position = state
            if node.hash_count >= 2:
                if state in seen:
                    continue
                seen.add(state)
            if node.any_words is not None:
                work.append((node.any_words, position))
            if position == count:
                if node.bindings:
                    found.extend(node.bindings.values())
                continue
            if node.is_hash:
                work.append((node, position + 1))
            child = node.words.get(words[position])
            if child is not None:
                work.append((child, position + 1))
            if node.one_word is not None:
                work.append((node.one_word, position + 1))
        return found

    @staticmethod
    def reason(binding: BindingSpec, routing_key: str, headers: dict[str, Any] | None, is_match: bool) -> str:
        """Why the binding matched, or did not."""
        return f"{shown(routing_key)} {'matches' if is_match else 'does not match'} {shown(binding.key)}"
