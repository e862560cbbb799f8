"""The journals of a data directory, read for one message's biography while the broker may write them.

Takes no lock, asks no broker, changes nothing. The bytes of the journals are searched for the message's names; only
those that have it are read, a chunk at a time, from where it is first named to where its story there is over. What is
damaged of what is read is named in the notes, and the rest is told. Where no journal has the message all are read.

Fails with: `UnknownMessage`; `InvalidArgument` for an id that is none and for a directory that is no broker's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Final, final

from posthouse.biography.delay_story import DelayStory
from posthouse.biography.events import Biography, Moment
from posthouse.biography.grave_story import GraveStory
from posthouse.biography.held_story import HeldStory
from posthouse.biography.queue_story import QueueStory
from posthouse.biography.route_story import RouteStory
from posthouse.biography.telling import Findings, Moves, biography, publishes_in, questions_in
from posthouse.biography.wanted import Wanted, WantedBytes, ids_beginning
from posthouse.supervisor.data_directory import journal_name
from posthouse.supervisor.disk import RealDisk
from posthouse.supervisor.journal_history import Commit, History, Place
from posthouse.transport.errors import DiskFault, InvalidArgument, JournalCorrupt, UnknownMessage
from posthouse.transport.messages import Batch
from posthouse.transport.names import DEAD_LETTER, DELAY, REGISTRY, shown

ID_CHARACTERS_MAX: Final = 4_096
SUGGESTIONS_MAX: Final = 10
SUGGESTED_PREFIX_MIN: Final = 3
FAULTS_SHOWN_MAX: Final = 20

_journal_directory: Final = re.compile(r"(queue|exchange)_(.*?)(?:_[0-9]+)?-[0-9a-f]{16}")

AnyStory = QueueStory | HeldStory | DelayStory | GraveStory
Told = Callable[[Moment, int, int, memoryview], None]


def biography_of(data: str, message_id: str) -> Biography:
    """The biography of the message, from the journals in the data directory. It reads files: run it in a thread."""
    if not message_id:
        raise InvalidArgument("an empty message id names no message; consumers show it as message.message_id")
    if len(message_id) > ID_CHARACTERS_MAX:
        raise InvalidArgument(f"a message id has at most {ID_CHARACTERS_MAX} characters, not {len(message_id)}")
    return _Reading(data).biography(message_id)


@final
class _Reading:
    """One reading of all journals."""

    def __init__(self, data: str) -> None:
        self._place = os.path.join(data, "journal")
        try:
            self._names = sorted(name for name in os.listdir(self._place) if os.path.isdir(f"{self._place}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            raise InvalidArgument(f"{data} is no data directory of a broker: it has no directory `journal`") from None
        self._notes: dict[str, None] = {}
        self._disk = RealDisk()

    def biography(self, message_id: str) -> Biography:
        wanted = Wanted(message_id)
        told: list[AnyStory] = []
        names = self._actors()
        # The scheduler first: it knows names that the message has elsewhere. It may know the message by the number of
        # a move only, so its journal is read as a whole.
        self._read_story(journal_name(DELAY), DelayStory(wanted), told)
        needle = wanted.needle()
        for directory, actor in names.items():
            kind, _, name = actor.partition(":")
            story: AnyStory = QueueStory(name, wanted) if kind == "queue" else HeldStory(name, wanted)
            self._search_story(directory, story, told, needle)
        self._search_story(journal_name(DEAD_LETTER), GraveStory(wanted), told, needle)
        if not told:
            raise self._unknown(message_id, names)
        moves: Moves = {}
        for one in told:
            moves.update({} if isinstance(one, QueueStory) else one.moves)
        copies = [copy for one in told for copy in one.copies]
        publishes = publishes_in(copies, moves)
        questions = questions_in(copies, publishes, moves, told)
        routes = RouteStory(questions)
        self._read(journal_name(REGISTRY), routes.tell)
        routes.finish()
        self._look_for_damage(names, {queue for one in questions if one.then for queue in one.then.queues}, told)
        failures = [pair for one in told if isinstance(one, GraveStory) for pair in one.failures]
        notes = [*self._notes, *routes.notes]
        return biography(Findings(message_id, list(wanted.ids), told, publishes, moves, questions, failures, notes))

    def _actors(self) -> dict[str, str]:
        """The journals of queues and exchanges, with whose they are."""
        routes = RouteStory([])
        self._read(journal_name(REGISTRY), routes.tell)
        known = {journal_name(name): actor for name, actor in routes.journals.items()}
        found: dict[str, str] = {}
        for name in self._names:
            lost = _journal_directory.fullmatch(name)
            if name in known:
                found[name] = known[name]
            elif lost is not None:
                # The registry's journal does not tell of it; its directory keeps most of its name.
                found[name] = f"{lost[1]}:{lost[2]}"
        return found

    def _read_story(self, directory: str, story: AnyStory, told: list[AnyStory]) -> None:
        self._read(directory, lambda moment, position, kind, payload: story.find(kind, payload))
        if story.is_found:
            self._read(directory, story.tell)
            told.append(story)

    def _search_story(self, directory: str, story: AnyStory, told: list[AnyStory], needle: WantedBytes) -> None:
        """The same, but that nothing is decoded before the message is found, and nothing after its story is over."""
        begins: Place | None = None
        for commit in self._commits(directory, lambda history: history.matching(needle)):
            self._feed(directory, commit, lambda moment, position, kind, payload: story.find(kind, payload))
            begins = begins or (commit.place if story.is_found else None)
        if begins is None:
            return
        since = begins
        for commit in self._commits(directory, lambda history: history.commits(since)):
            self._feed(directory, commit, story.tell)
            if isinstance(story, QueueStory) and story.is_over:
                break
        told.append(story)

    def _look_for_damage(self, names: dict[str, str], queues: set[str], told: list[AnyStory]) -> None:
        """A queue that ought to have the message and tells nothing of it may have it where its journal is damaged."""
        silent = {f"queue:{queue}" for queue in queues} - {story.actor for story in told}
        for directory, actor in names.items():
            if actor in silent:
                self._read(directory, lambda moment, position, kind, payload: None)

    def _read(self, directory: str, take: Told) -> None:
        """Feed every record of a journal; what cannot be read becomes a note."""
        for commit in self._commits(directory, lambda history: history.commits()):
            self._feed(directory, commit, take)

    def _commits(self, directory: str, ask: Callable[[History], Iterator[Commit]]) -> Iterator[Commit]:
        if directory not in self._names:
            return
        try:
            yield from ask(History(self._disk, f"{self._place}/{directory}"))
        except (OSError, DiskFault) as fault:
            self._note(f"journal {directory} cannot be read: {fault}")

    def _feed(self, directory: str, commit: Commit, take: Told) -> None:
        if commit.fault:
            self._note(f"journal {directory}: {commit.fault}")
        moment = Moment(commit.at_ms, commit.generation)
        for record in commit.records:
            try:
                take(moment, record.position, record.kind, record.payload)
            except JournalCorrupt as error:
                self._note(f"journal {directory}, position {record.position}: {error}")

    def _note(self, text: str) -> None:
        if len(self._notes) < FAULTS_SHOWN_MAX:
            self._notes[text] = None

    def _unknown(self, message_id: str, names: dict[str, str]) -> UnknownMessage:
        text = f"no journal tells of a message {shown(message_id)}"
        near = list(self._ids_beginning(message_id, names))
        near = near if len(message_id) >= SUGGESTED_PREFIX_MIN else []
        if near:
            more = " and more" if len(near) > SUGGESTIONS_MAX else ""
            text += f"; ids that begin so: {', '.join(map(shown, near[:SUGGESTIONS_MAX]))}{more}. Give one whole"
        else:
            text += (
                ". Messages of level `memory` and of transient queues leave no trace, others for as long as their "
                "segments exist"
            )
        faults = [note for note in self._notes if note.startswith("journal ")]
        if faults:
            text += f". Not everything could be read: {'; '.join(faults)}"
        return UnknownMessage(text)

    def _ids_beginning(self, prefix: str, names: dict[str, str]) -> Iterator[str]:
        """A few ids that begin so, one more than are shown."""
        found: dict[str, None] = {}
        nothing = Wanted()
        stories: dict[str, AnyStory] = {
            directory: QueueStory("", nothing) if actor.startswith("queue:") else HeldStory("", nothing)
            for directory, actor in names.items()
        }
        stories[journal_name(DELAY)] = DelayStory(nothing)
        stories[journal_name(DEAD_LETTER)] = GraveStory(nothing)

        def look(story: AnyStory) -> Told:
            def take(moment: Moment, position: int, kind: int, payload: memoryview) -> None:
                if len(found) > SUGGESTIONS_MAX:
                    return
                batch = story.batch_in(kind, payload)
                if batch is not None:
                    found.update(dict.fromkeys(_beginning(batch[1], prefix, SUGGESTIONS_MAX + 1 - len(found))))

            return take

        for directory, story in stories.items():
            self._read(directory, look(story))
        return iter(found)


def _beginning(batch: Batch, prefix: str, count_max: int) -> list[str]:
    found: list[str] = []
    for message_id in ids_beginning(batch, prefix):
        found.append(message_id)
        if len(found) == count_max:
            break
    return found
