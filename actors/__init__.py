"""Who lives: the actors of a broker, each a core that decides and a thin shell around it.

Cores
topology          exchanges, queues and bindings: what may be declared, and what a declaration changes
declaration       what may be declared, and when a second declaration is the same thing
binding_table     the bindings, found by source and by destination
routing           which queues a message reaches, end to end
receipts          the answers an exchange owes its publishers
reply_paths       which session takes the replies of which caller
definition_plan   what a set of definitions would change in a topology
connections       who is connected, from the sessions of all actors
exchange_figures  the figures of an exchange on its page
route_ledger      collects, within bounds, the bindings an explanation names
topic_trie        binding keys with wildcards, matched word by word
headers_match     bindings on headers
registry_state    the registry's state: the topology, its version, who lives where
registry_records  the records of its journal
registry_queries  the answers to what clients ask the registry
offsets           ranges of offsets with a value each
held_state        what an exchange holds for queues to come: waiting, leaving, within bounds
held_batch        one held batch, the pieces of it that leave, the batch they leave in
held_seen         what an exchange has held before, by stream and number
held_records      the journal records of what is held, as bytes
held_replay       what is held, rebuilt from its journal
queue_state       one queue: what is ready, who holds what, what was seen before
retry             the retry policy: how long a message waits, and which attempt is its last
dead_letter_circle  whether what dies in a queue would come back to it
fingerprint       what equal causes of failure have in common, as twelve digits
move              the two ends of a move between actors: exactly once, whatever crashes
queue_contents    what survives of a queue: its living messages, what it has seen, its counters
queue_effects     what a queue tells its shell to do
queue_dispatch    who gets how many of what is ready
queue_ready       what is ready in a queue with priorities
breaker_watch     says when the outage breaker of a queue opens and closes
queue_idle        since when nobody has used a queue
breaker           stops deliveries when nearly all of them fail, and probes
queue_figures     the figures of a queue on its page
queue_look        a queue looked into: its messages, where each is and who holds it
queue_view        a queue looked at: its counts, its consumers, its first messages
queue_replay      a queue rebuilt from its journal, record by record
queue_restated    what a queue's journal says again of a batch that is copied forward
queue_storage     what of a queue must be kept, what may be dropped from memory, what it has seen
queue_backlog     the messages of a queue that nobody has settled
queue_fold        messages stored one by one, as long as nobody needs them one by one
queue_summary     what a queue's journal says of many messages of a round at once
queue_failures    what becomes of messages that were not handled
queue_history     the attempts that failed, with whom and why
queue_waiting     what comes back, or expires, at a time
queue_handouts    what a queue has handed out: since when, after how long, at which attempt
queue_deadlines   how long consumers may hold messages
queue_bounds      the bounds of a queue in time and room
queue_consumers   who may receive, how much, and whose turn it is
queue_dedup       the dedup ids a queue has seen
queue_calls       the deadlines of the calls in a queue
queue_streams     the last number seen of each publisher's stream
queue_records     the queue's journal records as bytes
dead_letter_group letters that died together, as the index knows them and a listing shows them
dead_letter_causes  what they died of, counted
dead_letter_store the dead letters: which there are, why each is dead, which are on their way back
dead_letter_replay  the store rebuilt from its journal
dead_letter_records  its journal records as bytes
death_headers     `x-death` and its companions, as RabbitMQ writes them
destinations      where dead letters go: a queue, or a lane of an exchange
past_lives        what letters that were sent on had been, in case they die again
redrive           which dead letters go back, how fast, and when it stops
stored_batch      one batch in a queue: its bytes, its place, what of it is still alive
timetable         which message is due when, for millions of them
delay_state       the delay scheduler: what it takes, what falls due, what becomes of what it sent
delay_contents    what survives of the scheduler: messages, keys, moves, counters
delay_ledger      every delayed message by id: when it is due, and where its body is
delay_moves       batches of due messages on their way to their exchange
delay_bodies      bodies cut out of the batch they came in, and joined into the one they leave in
delay_figures     the scheduler's figures on its page
delay_replay      the scheduler rebuilt from its journal, record by record
delay_schedules   the recurring schedules: which there are, which fires next
recurrence        at which instants a schedule fires, and what of those that were missed
delay_records     the scheduler's journal records as bytes

readings          pages of numbers and the tree, as people and rules look at them
event_messages    events as messages: their routing keys and bodies
topology_news     what changed in the topology, and who consumes, as events
broker_events     what happened, in order, numbered
alert_rules       the kinds of alert rules, what each can be told, checked
alert_defaults    the rules that are there without anybody's doing
alert_words       how figures and rules read
alert_finding     what one rule says of one subject at one moment
alert_series      figures over a window: rises, standstills, quantiles, forecasts
alert_watch       what the rules find in a sample of figures
alert_news        what the rules find in events, states and alarms
alert_book        what is pending, fires, was resolved, and who has been told
alert_silences    which alerts are kept quiet
alert_pace        when the next notice may leave
alert_outbox      notices on their way to their targets
alert_memory      what survives the monitor, as a file
alert_desk        what alerting is told, and behind which desk it has things done

What an actor is
measure           one number or distribution that an actor shows, with its name and its meaning
measures          the measures of every kind of actor
tallies           what an actor counts in plain integers, and writes onto its page once a second
cell_figures      the figures that all cells show
actor             what an actor must answer, and what it may ask for
cell              the rounds: facts in, decide, commit, frames out
loop              the cell's clock and sockets, the one loop of a process

Actors
event_publisher   publishes the broker's events, as far as there is room
monitor           watches the others, and tells whoever asks
alerting          the monitor's part that notices what is wrong and has it told
alerting_tests    test notices that somebody waits for
registry          the topology, journaled, and the directory of who lives where
registry_definitions  the whole topology told, or laid down in one step
registry_deleting deletes queues, and exchanges that hold messages
exchange          routes batches, keeps them until every queue has answered
holding           what an exchange does with messages that no queue wants
held_moves        how what was held leaves for queues and the dead letters
held_journal      what an exchange writes down of what it holds
held_requests     what an exchange answers about what it holds
queue             stores, delivers and settles
delay             keeps delayed messages and publishes each when it is due
delay_journal     the scheduler's journal as its shell uses it: bodies read back, segments let go
delay_repeats     recurring schedules made, listed, stopped, and turned into messages in time
delay_burials     what no exchange takes, on its way from the scheduler to the dead letters
delay_requests    what clients ask the scheduler: list, cancel, reschedule, fire
registry_directory  who lives where, told to whoever asked
queue             stores, delivers and settles
stored_bytes      the bytes of a queue's batches, from memory or from its journal
usage             tells the registry when nobody needs a queue any more
desk              where a queue answers who looks at it, and who pauses it
departures        how messages leave a queue for the dead letters
segments          the segments of a queue's journal
dead_letter       keeps what could not be handled, shows it, sends it back
outgoing          everything on its way out of the dead letters
returns           how dead letters return: redrives at their pace
taking_back       the undoing of a redrive
existence         whether a queue or an exchange is gone for good, as the registry says
door              lets clients in over TCP and passes their frames to the actors they name, and back
door_figures      the door's figures on its page
door_loop         a TCP socket on one side, the actors' sockets on the other
"""
