"""For test suites: a real broker on a temporary directory, faults on purpose, and the chaos run.

    with posthouse.testing.running() as process:
        broker = process.connect()
        ...
        process.kill("queue:orders")

`docs/testing.md` shows more. Nothing here is imported by a broker in production.

Public
broker            a broker in processes of its own: started, watched through its log, killed, and never left behind
failpoints        where a broker may be made to die, hang or fail, and how to say so
traces            what a broker must not leave on the machine: processes, zombies, sockets, shared memory

Inside
faulty_broker     a broker with failpoints: the disk, cells and events of `posthouse.serve` with a fault between
faulty_disk       a disk that fails, dies or waits at a named step
__main__          the program such a broker runs as

The chaos run
chaos             one run from the first client to the verdict
plan              who publishes what to whom, from one seed
history           what clients did and were told, in files that survive them
publishing        the program of a publisher
consuming         the program of a consumer, and of who answers calls
programs          the clients of a run as processes
nemesis           what goes wrong, when and to whom
meters            memory, descriptors, threads and disk of every process, over time
checkers          what must hold of a history, each rule with the number of its promise
verdict           the history read once, and what every checker says of it
report            the result for people: a text, and a page with a time line
"""

from posthouse.testing.broker import BrokerProcess, running
from posthouse.testing.failpoints import Action, Failpoint, Point
from posthouse.testing.traces import traces_of

__all__ = ["Action", "BrokerProcess", "Failpoint", "Point", "running", "traces_of"]
