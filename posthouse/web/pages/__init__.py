"""The pages for people: HTML made on this side, kept true by a stream of events, every action a form.

How a page comes about
site              which pages and actions there are, and where
frame             code fills a view, a template shows it; errors are pages too
live              the same page as server-sent events: its changed parts, once a second
visit             one request: what was asked for, the broker, the figures of the moment
snapshot          those figures, asked for once and shared by everything that is open
connected         who is connected, the same way
notes             what an action has to say on the next page
navigation        the pages by name, and how much there is to look at

What people see (pure)
words             figures as people read them: counts, rates, sizes, moments
drawing           small pictures of figures, as numbers for SVG
bodies            bodies as JSON, text or hexadecimal; cut, with their true size
fields            what a person filled in, read and checked
listing           a long list: searched, sorted, in pages
attention         what needs attention, the worst first

The pages
overview          is the broker well, what needs attention, how much goes through
tree              the supervision tree: lives, restarts, memory, last exits
queues            all queues
queue             one queue: figures, consumers, messages; publish, purge, pause
connections       who is connected, and whom each talks to
exchanges         exchanges, their bindings, and where a message would go
held              what exchanges hold for queues to come
delayed           delayed messages on an axis of time, schedules that recur
dead_letters      dead letters by cause, one by one, with the history of one
redrives          sending them back: tried dry, begun, watched, stopped, undone
alerts            what fires, who is told, what is kept quiet
journals          bytes, syncs and their latency, and what is damaged
events            what happened in the broker
why               the biography of a message
"""
