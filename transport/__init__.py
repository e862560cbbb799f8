"""How they talk: the vocabulary of messages, its bytes, the links that carry them, and the sockets below.

errors       every error of posthouse, sorted by who is at fault and who must act
limits       what a broker accepts, in numbers
names        which names, routing keys and headers are allowed
descriptions the records inside messages: what an exchange, a queue, a binding, a consumer are
messages     the vocabulary: all that actors and clients say to each other, as frozen values
messages_topology  the vocabulary of exchanges, queues and bindings: what is said to the registry and by it
messages_definitions  the vocabulary of definitions: a whole topology read, or laid down
messages_sessions  who is connected to whom
messages_delay  the vocabulary of delayed messages
messages_use   what registry and queues say of whether a queue is used
messages_dead  the part of it that speaks of dead letters
messages_recurring  the vocabulary of recurring schedules
messages_calls  messages of request-reply: who takes replies
messages_hold  the part of it that speaks of what exchanges hold
messages_looking  looking into a queue, and pausing it
messages_monitor  what may be asked of the monitor, and what it answers
messages_alerts  what may be asked about alerts, and what is answered
explanation  why a message would reach these queues and not those
batch        the unit of work: built, checked, sliced and taken apart
wire         messages to frames and back
session      one link as it stands: which session, with whom, in which state
link         one session with one peer: hello, credit, resending, what was seen before
link_frames  what a link says: its frames, each with where this end stands
link_figures  all links of one actor looked at: their figures
links        all sessions of one actor or client
sockets      the one module that knows ZeroMQ: two ROUTER sockets, bounded in every direction

All but `sockets` are cores: bytes and facts in, frames and facts out, no clock and no socket of their own.
"""
