"""The door: which frames pass, whose sessions end with whom, and what strangers can do to it."""

from __future__ import annotations

import random

import pytest

from posthouse.actors import door as door_module
from posthouse.actors.door import Door
from posthouse.supervisor import control_messages as control
from posthouse.transport import wire
from posthouse.transport.limits import Limits
from posthouse.transport.links import Identity, Links, Opened
from posthouse.transport.wire import UNKNOWN_SESSION, Header, Hello, Kind

UP = control.Up("queue:q", 3, "ipc:///run/q3")
ROUTE = b"queue:q/3"


def frame(kind: int, session: int = 7, generation: int = 3, body: bytes = b"") -> bytes:
    return wire.pack_header(Header(kind, generation, session, 0, 0, 0, 0, 0)) + body


def hello(session: int = 7, target: str = "queue:q", generation: int = 3, remote: str = "") -> bytes:
    said = Hello(target, 1, "client", "shop.py", "alpha", 17, remote)
    return frame(Kind.HELLO, session, generation, wire.pack_body(said))


def opened(*clients: bytes) -> Door:
    """A door behind which `queue:q` lives, with session 7, 8, … for each client."""
    door = Door()
    door.noticed(UP)
    for session, client in enumerate(clients, 7):
        door.from_client(client, hello(session))
    door.to_actors.clear()
    door.to_supervisor.clear()
    door.to_connect.clear()
    return door


def the_reset(door: Door) -> tuple[bytes, int, str]:
    """To whom, for which session, with which code."""
    ((client, sent),) = door.to_clients
    header = wire.unpack_header(sent)
    assert header.kind == Kind.RESET
    door.to_clients.clear()
    return client, header.session, wire.unpack_reset(sent).code


def test_a_hello_opens_a_session_and_asks_where_the_actor_lives() -> None:
    door = Door()
    door.from_client(b"a", hello())
    assert door.to_supervisor == [control.Watch("queue:q")]
    assert (door.to_actors, door.to_clients, door.session_count) == ([], [], 1)
    door.noticed(UP)
    assert door.to_connect == [(ROUTE, "ipc:///run/q3")]
    door.from_client(b"a", hello())
    assert door.to_actors == [(ROUTE, hello(remote="unknown"))]
    door.from_client(b"b", hello(8))
    assert len(door.to_supervisor) == 1
    assert door.session_count == 2


def test_frames_pass_unchanged_in_both_directions() -> None:
    door = opened(b"a", b"b")
    door.from_client(b"b", frame(Kind.DATA, 8, body=b"to the actor"))
    assert door.to_actors == [(ROUTE, frame(Kind.DATA, 8, body=b"to the actor"))]
    door.from_actor(frame(Kind.DATA, 7, body=b"to a"))
    door.from_actor(frame(Kind.DATA, 99, body=b"to nobody"))
    assert door.to_clients == [(b"a", frame(Kind.DATA, 7, body=b"to a"))]


def test_a_frame_of_an_unknown_session_is_reset_unless_it_says_goodbye_itself() -> None:
    door = opened()
    door.from_client(b"a", frame(Kind.DATA, 5))
    assert the_reset(door) == (b"a", 5, UNKNOWN_SESSION)
    door.from_client(b"a", frame(Kind.BYE, 5))
    door.from_client(b"a", frame(Kind.RESET, 5))
    assert (door.to_clients, door.to_actors) == ([], [])


def test_the_address_in_a_hello_is_the_door_s_and_not_the_client_s_to_say() -> None:
    door = Door({b"a": "192.0.2.7"}.__getitem__)
    door.noticed(UP)
    door.from_client(b"a", hello(remote="127.0.0.1"))
    assert door.to_actors == [(ROUTE, hello(remote="192.0.2.7"))]


def test_a_hello_that_leaves_no_room_for_the_address_loses_what_is_for_people_only() -> None:
    door = Door(lambda client: "2001:db8:0:1:2:3:4:5")
    door.noticed(UP)
    said = Hello("queue:q", 1, "n" * 512, "p" * 425, "h" * 60, 17)
    door.from_client(b"a", frame(Kind.HELLO, 7, 3, wire.pack_body(said)))
    ((_, sent),) = door.to_actors
    passed_on = wire.unpack_hello(sent)
    assert (passed_on.client_name, passed_on.remote) == ("n" * 512, "2001:db8:0:1:2:3:4:5")
    assert (passed_on.program, passed_on.host) == ("", "")


def test_a_frame_for_an_earlier_life_of_the_actor_is_reset_and_its_session_over() -> None:
    door = opened(b"a")
    door.noticed(control.Down("queue:q", 3, "restarting", "it died"))
    door.from_client(b"a", frame(Kind.DATA))
    assert (door.to_clients, door.to_actors) == ([], [])
    door.noticed(control.Up("queue:q", 4, "ipc:///run/q4"))
    door.from_client(b"a", frame(Kind.DATA, generation=3))
    assert the_reset(door) == (b"a", 7, UNKNOWN_SESSION)
    assert door.session_count == 0
    door.from_client(b"a", hello(8, generation=0))
    assert door.to_actors == [(b"queue:q/4", hello(8, generation=0, remote="unknown"))]


def test_a_goodbye_of_either_side_passes_and_closes_the_session() -> None:
    door = opened(b"a", b"a", b"a")
    door.from_client(b"a", frame(Kind.BYE, 7))
    assert door.to_actors == [(ROUTE, frame(Kind.BYE, 7))]
    door.from_actor(frame(Kind.BYE, 8))
    door.from_actor(frame(Kind.RESET, 9))
    assert [client for client, _ in door.to_clients] == [b"a", b"a"]
    assert door.session_count == 0


def test_the_actors_hear_a_goodbye_in_the_name_of_a_client_that_is_gone() -> None:
    door = opened(b"a", b"b", b"a")
    door.from_client(b"a", hello(20, "queue:down"))
    door.to_actors.clear()
    door.client_gone(b"a")
    assert door.to_actors == [(ROUTE, frame(Kind.BYE, 7)), (ROUTE, frame(Kind.BYE, 9))]
    assert door.session_count == 1
    door.client_gone(b"a")
    door.client_gone(b"stranger")
    assert len(door.to_actors) == 2


def test_a_client_that_comes_back_on_another_connection_keeps_its_session() -> None:
    door = opened(b"old", b"old")
    door.from_client(b"new", frame(Kind.DATA, 7))
    door.client_gone(b"old")
    assert door.to_actors == [(ROUTE, frame(Kind.DATA, 7)), (ROUTE, frame(Kind.BYE, 8))]
    door.from_actor(frame(Kind.DATA, 7, body=b"answer"))
    assert door.to_clients == [(b"new", frame(Kind.DATA, 7, body=b"answer"))]
    door.from_client(b"new", frame(Kind.BYE, 7))
    door.client_gone(b"old")
    door.client_gone(b"new")
    assert door.session_count == 0


def test_news_that_are_not_about_lives_change_nothing() -> None:
    door = opened(b"a")
    door.noticed(control.Done(1, True))
    door.from_client(b"a", frame(Kind.DATA))
    assert len(door.to_actors) == 1


GARBAGE = {
    "nothing": b"",
    "too short": b"PH",
    "another protocol": b"GET / HTTP/1.1\r\n" + b"x" * 100,
    "another version": frame(Kind.DATA)[:2] + b"\x63" + frame(Kind.DATA)[3:],
    "a hello without a body": frame(Kind.HELLO, 50),
    "a hello of garbage": frame(Kind.HELLO, 50, body=b"\xff" * 40),
    "a hello that is not UTF-8": frame(Kind.HELLO, 50, body=b"\x93\xa1\xff\x01\xa1c"),
    "a hello that is too long": hello(50, "q" * 2_000),
    "a hello without a session": hello(0),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_counted_answered_and_dropped(name: str) -> None:
    door = opened(b"good")
    door.from_client(b"bad", GARBAGE[name])
    client, session, code = the_reset(door)
    assert (client, code) == (b"bad", "protocol_violation")
    assert session in (0, 7, 50)
    assert (door.violations, door.session_count, door.to_actors, door.to_supervisor) == (1, 1, [], [])
    door.from_client(b"good", frame(Kind.DATA))
    assert len(door.to_actors) == 1


def test_two_ends_of_different_versions_do_not_answer_each_other_for_ever() -> None:
    door = opened()
    for kind in (Kind.RESET, Kind.BYE):
        strange = frame(kind)
        door.from_client(b"a", strange[:2] + b"\x63" + strange[3:])
    assert door.to_clients == []
    assert door.violations == 2


@pytest.mark.parametrize("limit", ["SESSIONS_MAX", "SESSIONS_PER_CLIENT_MAX"])
def test_there_is_a_limit_of_sessions_and_the_refused_client_is_told_in_its_session(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, limit, 2)
    door = opened(b"a", b"a")
    door.from_client(b"a", hello(50))
    assert the_reset(door) == (b"a", 50, "not_done")
    door.from_client(b"b", hello(51))
    assert door.session_count == (2 if limit == "SESSIONS_MAX" else 3)
    door.to_clients.clear()
    door.client_gone(b"a")
    door.from_client(b"b", hello(52))
    assert door.to_clients == []


def test_two_links_meet_through_the_door() -> None:
    door = Door()
    door.noticed(UP)
    client = Links(Identity(0, 9, "client"), Limits(), random.Random(1))
    actor = Links(Identity(3, 0, "queue:q"), Limits(), random.Random(2))
    link = client.open("queue:q")
    client.peer_up("queue:q", 0, "door", 0)
    for _ in range(4):
        for _, sent in client.flush(0):
            door.from_client(b"connection", sent)
        for _, passed in door.to_actors:
            actor.receive("door", passed, 0)
        for _, sent in actor.flush(0):
            door.from_actor(sent)
        for _, passed in door.to_clients:
            client.receive("door", passed, 0)
        door.to_actors.clear()
        door.to_clients.clear()
    assert client.events == [Opened(link)]
    assert link.generation == 3
