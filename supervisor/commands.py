"""Commands: what a living child may ask of the tree, and how it is answered.

Pure. A request that cannot be met is answered with the reason and changes nothing; a child that breaks the
rules of the channel is treated as hung. Whoever asks may die before the answer, which is then dropped.
"""

from __future__ import annotations

from posthouse.supervisor.child_spec import ID_BYTES_MAX, check_child
from posthouse.supervisor.control_messages import (
    Alarm,
    Announce,
    DescribeTree,
    Done,
    Down,
    Follow,
    FromChild,
    NodeInfo,
    Ready,
    RestartChild,
    StartChild,
    StopChild,
    StopMe,
    Unwatch,
    Watch,
)
from posthouse.supervisor.effects import Describe, Effect
from posthouse.supervisor.node import Child, State
from posthouse.supervisor.tree import Tree
from posthouse.supervisor.watches import WATCHES_MAX
from posthouse.transport.errors import Refused

CHILDREN_MAX = 16_384
STOP_REQUESTS_MAX = 64
ENDPOINT_BYTES_MAX = 1_024


def handle(tree: Tree, child_id: str, generation: int, message: FromChild, now_ms: int) -> list[Effect]:
    """What follows from one message of that life. A life that is over is not heard."""
    child = tree.living(child_id, generation)
    if child is None:
        return []
    match message:
        case Ready(endpoint):
            if len(endpoint.encode()) > ENDPOINT_BYTES_MAX:
                return tree.hung(child_id, generation, f"its endpoint is {len(endpoint)} long", now_ms)
            return tree.ready(child_id, generation, endpoint, now_ms)
        case Watch(target):
            return _watch(tree, child, target, now_ms)
        case Unwatch(target):
            tree.watches.remove(child_id, target)
            return []
        case StartChild():
            refusal = _start_child(tree, message)
            tree.tell(child_id, Done(message.request, ok=not refusal, text=refusal))
        case StopChild():
            _stop_child(tree, child, message)
        case RestartChild():
            refusal = _restart_child(tree, message.id)
            tree.tell(child_id, Done(message.request, ok=not refusal, text=refusal))
        case DescribeTree(request, with_memory):
            tree.want(Describe(child_id, request, describe(tree), with_memory))
        case StopMe():
            if child.state in (State.STARTING, State.UP) and not tree.is_ending:
                tree.bounce(child)
                child.touch()
        case _:
            assert isinstance(message, Announce | Alarm | Follow), "the shell's, and nothing to the tree"
    return tree.advance(now_ms)


def describe(tree: Tree) -> tuple[NodeInfo, ...]:
    """Every child as far as the tree knows it, in start order."""
    return tuple(
        NodeInfo(
            id=child.id,
            kind=child.spec.kind,
            group=child.group.id,
            state=child.state.value,
            generation=child.generation,
            pid=child.pid or 0,
            restarts=max(0, child.lives - 1),
            last_exit=child.last_exit,
            ready_ms=child.ready_ms,
            endpoint=child.endpoint,
        )
        for child in tree.root.children()
    )


def _watch(tree: Tree, child: Child, target: str, now_ms: int) -> list[Effect]:
    if len(target.encode()) > ID_BYTES_MAX or not tree.watches.add(child.id, target):
        reason = f"watches more than {WATCHES_MAX} ids, or one of more than {ID_BYTES_MAX} bytes"
        return tree.hung(child.id, child.generation, reason, now_ms)
    watched = tree.children.get(target)
    unknown = Down(target, 0, "unknown", "no child of that id is known")
    tree.tell(child.id, tree.status(watched) if watched is not None else unknown)
    return tree.advance(now_ms)


def _start_child(tree: Tree, request: StartChild) -> str:
    """Take the child on; the refusal, or nothing."""
    group = tree.groups.get(request.group)
    if tree.is_ending:
        return "the broker is stopping"
    if group is None or group.spec.make_child is None:
        return f"there is no dynamic group {request.group!r}"
    present = tree.children.get(request.id)
    if present is not None and not present.is_forgotten:
        is_same = present.group is group and present.arguments == request.arguments
        is_same = is_same and present.spec.kind == request.kind
        return "" if is_same else f"{request.id!r} exists with other arguments; stop it first"
    if request.id in tree.groups:
        return f"{request.id!r} is the name of a group"
    if present is None and len(tree.children) >= CHILDREN_MAX:
        return f"there are {CHILDREN_MAX} children already, the most one supervisor looks after"
    try:
        spec = group.spec.make_child(request.kind, request.id, request.arguments)
        check_child(spec)
    except Refused as error:
        return str(error)
    assert (spec.id, spec.kind) == (request.id, request.kind), "make_child changed the id or kind"
    if present is None:
        tree.add(group, spec, request.arguments).touch()
    elif present.group is not group:
        return f"{request.id!r} is still stopping in group {present.group.id!r}; ask again when it is gone"
    else:
        present.successor = (spec, request.arguments)
    return ""


def _stop_child(tree: Tree, asker: Child, request: StopChild) -> None:
    child = tree.children.get(request.id)
    if child is None:
        tree.tell(asker.id, Done(request.request, ok=True, text="there was no such child"))
        return
    if not child.group.is_dynamic:
        refusal = f"{request.id!r} is a fixed part of the tree; only dynamic children are stopped"
        tree.tell(asker.id, Done(request.request, ok=False, text=refusal))
        return
    if len(child.stop_requests) >= STOP_REQUESTS_MAX:
        tree.tell(asker.id, Done(request.request, ok=False, text="too many wait for this stop already"))
        return
    child.stop_requests.append((asker.id, asker.generation, request.request))
    child.is_forgotten = True
    child.successor = None
    if child.is_alive:
        child.must_stop = True
        child.touch()
    else:
        tree.retire(child)


def _restart_child(tree: Tree, child_id: str) -> str:
    """Carry out an operator's wish; the refusal, or nothing."""
    child = tree.children.get(child_id)
    if tree.is_ending:
        return "the broker is stopping"
    if child is None or child.is_forgotten:
        return f"no child of the id {child_id!r} is known"
    child.history.clear()
    if not child.is_alive:
        tree.hold_no_longer(child)
    elif child.state is State.UP:
        tree.bounce(child)
    child.touch()
    return ""
