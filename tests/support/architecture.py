"""The rules of who may import whom and who may touch the machine.

Each rule is a function from modules to violations. `tests/test_architecture.py` uses it twice: on the
product, and on a planted fault that it must notice. The tables come first; a new module is bound by every
rule from its first day, and asks for an exception here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase

from tests.support.source_tree import ROOMS, Module, room_of

CORES = (
    "transport/batch.py",
    "transport/errors.py",
    "transport/explanation.py",
    "transport/limits.py",
    "transport/link.py",
    "transport/link_frames.py",
    "transport/links.py",
    "transport/messages.py",
    "transport/messages_delay.py",
    "transport/messages_looking.py",
    "transport/messages_monitor.py",
    "transport/messages_alerts.py",
    "transport/messages_dead.py",
    "transport/messages_recurring.py",
    "transport/messages_use.py",
    "transport/names.py",
    "transport/session.py",
    "transport/wire.py",
    "supervisor/child_spec.py",
    "supervisor/journal_chunk.py",
    "supervisor/journal_format.py",
    "supervisor/restart_policy.py",
    "supervisor/tree.py",
    "actors/alert_*.py",
    "actors/binding_table.py",
    "actors/breaker.py",
    "actors/dead_letter_*.py",
    "actors/death_headers.py",
    "actors/declaration.py",
    "actors/delay_bodies.py",
    "actors/delay_contents.py",
    "actors/delay_ledger.py",
    "actors/delay_moves.py",
    "actors/delay_records.py",
    "actors/delay_replay.py",
    "actors/delay_schedules.py",
    "actors/delay_state.py",
    "actors/destinations.py",
    "actors/fingerprint.py",
    "actors/headers_match.py",
    "actors/move.py",
    "actors/offsets.py",
    "actors/past_lives.py",
    "actors/queue_*.py",
    "actors/measure.py",
    "actors/measures.py",
    "actors/readings.py",
    "supervisor/meter.py",
    "actors/broker_events.py",
    "supervisor/figures.py",
    "supervisor/news.py",
    "actors/redrive.py",
    "actors/recurrence.py",
    "actors/registry_state.py",
    "actors/retry.py",
    "actors/routing.py",
    "actors/stored_batch.py",
    "actors/timetable.py",
    "actors/topic_trie.py",
    "actors/topology.py",
)
"""They decide: facts in, effects out. They import nothing that touches the machine, near or far."""

SHELLS = (
    "transport/sockets.py",
    "supervisor/atomic_file.py",
    "supervisor/beacon.py",
    "supervisor/control.py",
    "supervisor/data_directory.py",
    "supervisor/disk.py",
    "supervisor/generations.py",
    "supervisor/journal_tools.py",
    "supervisor/machine.py",
    "supervisor/meters.py",
    "supervisor/process.py",
    "supervisor/supervisor.py",
    "supervisor/wake_up.py",
    "actors/loop.py",
)
"""They do: the only modules below `posthouse/` that may import what touches the machine."""

CLIENTS = ("posthouse/__init__.py", "posthouse/session*.py", "posthouse/client*.py", "posthouse/aio*.py")
"""What a program gets that only talks to a broker: the transport, and nothing of the broker itself."""

COMPOSITION = ("posthouse/serve.py", "posthouse/testing/faulty_broker.py")
"""The one place that names every actor and builds the tree, and that which puts faults on its seams."""

ZMQ_USERS = ("transport/sockets.py", "posthouse/client*.py", "posthouse/aio*.py")
FORK_USERS = ("supervisor/process.py",)
SYNC_USERS = ("supervisor/disk.py", "supervisor/atomic_file.py")

EXPECTED_LATER: frozenset[str] = frozenset()
"""Patterns of the tables above that may match nothing yet. Empty once the house is furnished."""

MACHINE = frozenset(
    {
        "asyncio",
        "concurrent",
        "ctypes",
        "fcntl",
        "mmap",
        "multiprocessing",
        "os",
        "psutil",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "zmq",
    }
)
"""Roots of modules through which the clock, the disk, the network, processes or threads are reached."""

HIDDEN_FACTS = frozenset({"open", "input", "print", "datetime.datetime.now", "datetime.datetime.utcnow"})
"""Calls that reach the machine without an import of the above."""

CODE_LOADERS = frozenset({"pickle", "cloudpickle", "dill", "marshal", "shelve", "yaml.load", "eval", "exec"})
"""They run what the bytes say."""

Rule = Callable[[Iterable[Module]], Iterator[str]]


def matches(module: Module, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(module.path, pattern) for pattern in patterns)


def imports_go_down_only(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        above = ROOMS[: ROOMS.index(module.room)]
        for name, line in module.imports:
            if room_of(name) in above:
                yield f"{module.path}:{line} imports {name}; {module.room} stands below {room_of(name)}"


def imports_are_absolute(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        for name, line in module.imports:
            if name.startswith(".") or name.split(".", 1)[0] in ROOMS[1:]:
                yield f"{module.path}:{line} imports {name}; say posthouse.…, or a second copy may be loaded"


def only_shells_touch_the_machine(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        if matches(module, SHELLS) or (module.room == "posthouse" and module.path != "posthouse/session.py"):
            continue
        for name, line in module.imports:
            if name.split(".", 1)[0] in MACHINE:
                yield f"{module.path}:{line} imports {name}; a shell has to hand in what it is for"
        for name, line in module.calls:
            if name in HIDDEN_FACTS or (name.startswith("random.") and name != "random.Random"):
                yield f"{module.path}:{line} calls {name}; facts, time and chance come in as arguments"


def cores_import_only_cores(modules: Iterable[Module]) -> Iterator[str]:
    modules = list(modules)
    by_name = {module.dotted: module for module in modules}
    outside = {name for name, module in by_name.items() if not _reaches_no_shell(module, by_name)}
    for module in modules:
        if matches(module, CORES):
            for name, line in module.runtime_imports:
                if name in outside:
                    yield f"{module.path}:{line} imports {name}, which is no core"


def _reaches_no_shell(module: Module, by_name: dict[str, Module], seen: frozenset[str] = frozenset()) -> bool:
    """A listed core, or a module that reaches no shell through anything it imports."""
    if matches(module, CORES) or module.dotted in seen:
        return True
    if matches(module, SHELLS) or module.room == "posthouse":
        return False
    ours = [by_name[name] for name, _ in module.runtime_imports if name in by_name and not _is_room(by_name[name])]
    return all(_reaches_no_shell(other, by_name, seen | {module.dotted}) for other in ours)


def _is_room(module: Module) -> bool:
    return module.path.endswith("/__init__.py")


def clients_know_nothing_of_the_broker(modules: Iterable[Module]) -> Iterator[str]:
    """Neither directly nor through another public module."""
    modules = list(modules)
    public = {module.dotted: module for module in modules if module.room == "posthouse"}
    for client in (module for module in modules if matches(module, CLIENTS)):
        waiting, seen = [client], {client.dotted}
        while waiting:
            module = waiting.pop()
            for name, line in module.imports:
                if room_of(name) in ("actors", "supervisor"):
                    yield f"{module.path}:{line} imports {name}, and {client.path} gets it with that"
                elif name in public and name not in seen:
                    seen.add(name)
                    waiting.append(public[name])


def the_tree_is_composed_in_one_place(modules: Iterable[Module]) -> Iterator[str]:
    modules = list(modules)
    cores = {module.dotted for module in modules if matches(module, CORES)}
    for module in modules:
        if module.room != "posthouse" or matches(module, COMPOSITION):
            continue
        actors = [name for name, _ in module.imports if room_of(name) == "actors" and name not in cores]
        supervisor = [name for name, _ in module.imports if room_of(name) == "supervisor"]
        if actors and supervisor:
            yield f"{module.path} imports {actors[-1]} and {supervisor[-1]}; only {COMPOSITION[0]} may"


def zmq_stays_at_the_edge(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        if not matches(module, ZMQ_USERS):
            for name, line in module.imports:
                if name.split(".", 1)[0] == "zmq":
                    yield f"{module.path}:{line} imports {name}"


def the_supervisor_has_neither_threads_nor_sockets_of_zmq(modules: Iterable[Module]) -> Iterator[str]:
    """It forks, and neither a thread nor a ZeroMQ context survives a fork."""
    refused = (
        "threading",
        "_thread",
        "concurrent",
        "multiprocessing",
        "asyncio",
        "posthouse.transport.sockets",
    )
    for module in modules:
        if module.room == "supervisor":
            for name, line in module.imports:
                if any(name == root or name.startswith(f"{root}.") for root in refused):
                    yield f"{module.path}:{line} imports {name}"


def processes_are_forked_in_one_file(modules: Iterable[Module]) -> Iterator[str]:
    yield from _used_outside({"os.fork", "os.forkpty", "pty.fork", "multiprocessing"}, FORK_USERS, modules)


def files_are_synced_in_two_files(modules: Iterable[Module]) -> Iterator[str]:
    yield from _used_outside({"os.fsync", "os.fdatasync", "os.sync"}, SYNC_USERS, modules)


def nothing_runs_code_out_of_bytes(modules: Iterable[Module]) -> Iterator[str]:
    yield from _used_outside(CODE_LOADERS, (), modules)


def _used_outside(names: Iterable[str], allowed: Iterable[str], modules: Iterable[Module]) -> Iterator[str]:
    wanted = frozenset(names)
    for module in modules:
        if not matches(module, allowed):
            for name, line in sorted(set(module.names)):
                if name in wanted:
                    yield f"{module.path}:{line} uses {name}"


def the_environment_is_not_read_at_import(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        waiting: list[ast.AST] = list(module.tree.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
                continue
            if isinstance(node, ast.Lambda):
                continue
            if isinstance(node, ast.Attribute) and module.resolve(node) in ("os.environ", "os.getenv"):
                yield f"{module.path}:{node.lineno} reads the environment while it is imported"
            waiting += ast.iter_child_nodes(node)


def imports_make_no_ring(modules: Iterable[Module]) -> Iterator[str]:
    by_name = {module.dotted: module for module in modules}
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in path:
            yield " → ".join([*path[path.index(name) :], name])
        elif name not in finished:
            for imported in dict.fromkeys(imported for imported, _ in by_name[name].runtime_imports):
                if imported in by_name and not _is_room(by_name[imported]):
                    yield from visit(imported, (*path, name))
            finished.add(name)

    for name in by_name:
        yield from visit(name, ())


RULES: tuple[Rule, ...] = (
    imports_go_down_only,
    imports_are_absolute,
    only_shells_touch_the_machine,
    cores_import_only_cores,
    clients_know_nothing_of_the_broker,
    the_tree_is_composed_in_one_place,
    zmq_stays_at_the_edge,
    the_supervisor_has_neither_threads_nor_sockets_of_zmq,
    processes_are_forked_in_one_file,
    files_are_synced_in_two_files,
    nothing_runs_code_out_of_bytes,
    the_environment_is_not_read_at_import,
    imports_make_no_ring,
)
