"""For test suites: a real broker on a temporary directory, faults on purpose, and the chaos run.

    with running() as process:
        broker = process.connect()
        process.kill("queue:orders")

`docs/testing.md` shows more. Nothing here is imported by a broker in production.

Public
broker            a broker in processes of its own: started, watched through its log, killed, and never left behind
failpoints        where a broker may be made to die, hang or fail, and how to say so
traces            what a broker must not leave on the machine: processes, zombies, sockets, shared memory
waiting           waiting for something to become true, with a deadline

Inside
faulty_broker     a broker with failpoints: faults on the seams of `posthouse.serve`
faulty_disk       a disk that fails, dies or waits at a named step

The chaos run
chaos             one run from the first client to the verdict
plan              who publishes what to whom, and where it belongs
history           what clients did and were told, in files that survive them
shifts            what a client process is told: who it is, what it does, when it shall stop
publishing        the programs that publish and call
consuming         the programs that consume and answer calls
programs          the clients of a run as processes
nemesis           what goes wrong, when and to whom
meters            memory, descriptors, threads and disk of every process, over time
agreement         whether the numbers shown agree with each other and with the history
checkers          what must hold of a history, each rule with the number of its promise
timeline          what each lane confirmed and delivered per second, and how long it stood still
report            the result for people: lines, and a page with a time line
"""

from posthouse.testing.broker import BrokerProcess, running
from posthouse.testing.failpoints import Action, Failpoint, Point
from posthouse.testing.traces import traces_of
from posthouse.testing.waiting import eventually

__all__ = ["Action", "BrokerProcess", "Failpoint", "Point", "eventually", "running", "traces_of"]
