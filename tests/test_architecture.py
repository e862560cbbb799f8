"""The product keeps the rules of `tests/support/architecture.py`, and the rules notice when it does not."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.support.architecture import (
    CLIENTS,
    COMPOSITION,
    CORES,
    EXPECTED_LATER,
    FORK_USERS,
    RULES,
    SHELLS,
    SYNC_USERS,
    ZMQ_USERS,
    Rule,
    clients_know_nothing_of_the_broker,
    cores_import_only_cores,
    files_are_synced_in_two_files,
    imports_are_absolute,
    imports_go_down_only,
    imports_make_no_ring,
    matches,
    nothing_runs_code_out_of_bytes,
    only_shells_touch_the_machine,
    processes_are_forked_in_one_file,
    the_environment_is_not_read_at_import,
    the_supervisor_has_neither_threads_nor_sockets_of_zmq,
    the_tree_is_composed_in_one_place,
    zmq_stays_at_the_edge,
)
from tests.support.source_tree import ROOMS, Module, all_modules, listing, product_modules

PLANTED: tuple[tuple[Rule, dict[str, str]], ...] = (
    (imports_go_down_only, {"transport/wire.py": "from posthouse.supervisor import journal"}),
    (imports_go_down_only, {"supervisor/tree.py": "def f():\n    import posthouse.actors.queue"}),
    (imports_go_down_only, {"actors/queue.py": "from posthouse import config"}),
    (imports_are_absolute, {"actors/queue.py": "from supervisor.journal import Journal"}),
    (imports_are_absolute, {"actors/queue.py": "from . import offsets"}),
    (only_shells_touch_the_machine, {"transport/wire.py": "from time import monotonic"}),
    (only_shells_touch_the_machine, {"actors/new.py": "import os.path"}),
    (only_shells_touch_the_machine, {"actors/new.py": "import random\nx = random.random()"}),
    (only_shells_touch_the_machine, {"actors/new.py": "from datetime import datetime\nx = datetime.now()"}),
    (only_shells_touch_the_machine, {"posthouse/session.py": "import socket"}),
    (
        cores_import_only_cores,
        {"actors/routing.py": "from posthouse.actors import loop", "actors/loop.py": "import time"},
    ),
    (
        cores_import_only_cores,
        {
            "actors/routing.py": "from posthouse.actors.between import x",
            "actors/between.py": "from posthouse.actors.loop import x",
            "actors/loop.py": "import time",
        },
    ),
    (clients_know_nothing_of_the_broker, {"posthouse/client.py": "import posthouse.supervisor.journal"}),
    (
        clients_know_nothing_of_the_broker,
        {
            "posthouse/aio.py": "from posthouse import config",
            "posthouse/config.py": "from posthouse.actors.queue import QueueSettings",
        },
    ),
    (
        the_tree_is_composed_in_one_place,
        {"posthouse/cli.py": "import posthouse.actors.queue\nimport posthouse.supervisor.tree"},
    ),
    (zmq_stays_at_the_edge, {"actors/queue.py": "import zmq.asyncio"}),
    (the_supervisor_has_neither_threads_nor_sockets_of_zmq, {"supervisor/process.py": "import threading"}),
    (
        the_supervisor_has_neither_threads_nor_sockets_of_zmq,
        {"supervisor/supervisor.py": "from posthouse.transport.sockets import Sockets"},
    ),
    (processes_are_forked_in_one_file, {"posthouse/serve.py": "from os import fork as split\nsplit()"}),
    (processes_are_forked_in_one_file, {"posthouse/serve.py": "import multiprocessing"}),
    (files_are_synced_in_two_files, {"supervisor/journal.py": "import os as machine\nmachine.fdatasync(1)"}),
    (
        nothing_runs_code_out_of_bytes,
        {"transport/wire.py": "def f(x):\n    import pickle\n    return pickle.loads(x)"},
    ),
    (nothing_runs_code_out_of_bytes, {"transport/wire.py": "x = eval('1')"}),
    (the_environment_is_not_read_at_import, {"posthouse/config.py": "import os\nHOME = os.environ['HOME']"}),
    (
        the_environment_is_not_read_at_import,
        {"posthouse/config.py": "from os import getenv\nimport os\ndef f(home=os.getenv('HOME')): ..."},
    ),
    (
        imports_make_no_ring,
        {
            "actors/a.py": "from posthouse.actors import b",
            "actors/b.py": "from posthouse.actors import c",
            "actors/c.py": "from posthouse.actors.a import x",
        },
    ),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rule(rule: Rule) -> None:
    found = list(rule(product_modules()))
    assert not found, listing(found)


@pytest.mark.parametrize(
    ("rule", "files"), PLANTED, ids=[f"{rule.__name__}-{number}" for number, (rule, _) in enumerate(PLANTED)]
)
def test_the_rule_notices_a_planted_fault(rule: Rule, files: dict[str, str]) -> None:
    assert list(rule([Module(path, text) for path, text in files.items()])) != []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _ in PLANTED} == set(RULES)


def test_tests_and_benchmarks_import_by_the_long_names_and_load_no_code_from_bytes() -> None:
    others = [module for module in all_modules() if module.room not in ROOMS]
    assert [*imports_are_absolute(others), *nothing_runs_code_out_of_bytes(others)] == []


def test_nothing_in_the_product_imports_the_tests() -> None:
    wrong = [
        f"{module.path}:{line} imports {name}"
        for module in product_modules()
        for name, line in module.imports
        if name.split(".", 1)[0] in ("tests", "benchmarks", "examples")
    ]
    assert wrong == []


def test_no_module_is_both_core_and_shell() -> None:
    both = [module.path for module in product_modules() if matches(module, CORES) and matches(module, SHELLS)]
    assert both == []


def test_every_pattern_of_the_tables_matches_a_module() -> None:
    tables = (CORES, SHELLS, CLIENTS, COMPOSITION, ZMQ_USERS, FORK_USERS, SYNC_USERS)
    paths = [module.path for module in product_modules()]
    unmatched = {
        pattern
        for pattern in {pattern for table in tables for pattern in table}
        if not any(fnmatchcase(path, pattern) for path in paths)
    }
    assert unmatched - EXPECTED_LATER == set()
