"""The benchmarks: what a broker does on this machine, measured from outside, with numbers that can be checked.

broker          a real `posthouse serve` on a real disk
clients, roles  the client processes, from outside and from inside
measured        percentiles, CPU seconds, memory along a run
machine         where it ran, and how fast the machine is by itself
report          tables and JSON
metrics_cost, half_measured  what the figures cost: one broker, with and without them in turns
throughput, latency, publishers, fanout, footprint, restarts, journal_replay, dead, views, alert_time: one question each
"""
