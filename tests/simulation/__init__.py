"""The whole broker in one process under one seeded schedule.

network   a wire that drops, duplicates, delays and reorders frames
world     time, lives and deaths of actors, power cuts
supervisor  its part: who watches whom, and what the living are told
journals  their journals, watched while they are written and judged when all is over
clients   publishers and consumers, and what they were told
latecomer queues that are bound after messages for them were published
verdict   what must hold of all that was told
run       one seed from the beginning to the verdict; `python -m tests.simulation --seed 7`

Cores, shells, links, cells, journals and the client's session are the production code. What is not simulated: ZeroMQ,
processes, the blocking client's thread, the door.
"""
