"""The broker over HTTP: an API for programs, pages for people, health for probes. A child process of its own.

It is a client like any other: it asks the broker through `posthouse.aio`, holds no state that matters, and may crash or
be killed without harm to messages or alerts. docs/http-api.md describes it from outside.

The process
child             one life: waits for the first connection, and only then loads what serving takes
server            uvicorn in that process: our control channel, our beacon, no signals of its own
http_protocol     HTTP on one connection: uvicorn's, with a limit on how long a request may take to arrive
connection        the one client of the broker, connected when it is first needed

The application
app               put together: routes, guard, client
settings          what it is told when it is made
request_context   what a request may use: client, settings, whether the process is stopping
guard             what every request must pass: Host, Origin, CSRF token, size, time; and the headers of every answer
csrf              tokens that only a page of ours can know
faults            errors as JSON: code, text, fields; and which status they get
answers           what goes out: JSON of anything the clients return
listing           parts of listings
bodies            bodies of messages: text, base64, cut to a limit
shapes            the shape of every answer: records as objects
operation         one operation of the API: what it takes, what it answers with, who carries it out
api               the API: finds the operation, reads what came, answers
api_looking       status, overview, actors, consumers, connections
api_topology      exchanges, bindings, explain
api_queues        queues and their messages
api_held          what exchanges hold
api_delayed       delayed messages and recurring schedules
api_dead_letters  dead letters and redrives
api_events        events, asked for or as a stream
api_journals      journals: sizes, verification
api_alerts        alerts, silences, test notices
api_biography     what became of a message
api_definitions   everything declared, as one document
openapi           the OpenAPI document, made of the table of operations
metrics           the figures for Prometheus
health            for probes: alive, ready, and why not
pages/            for people: a room of its own, with its own map

templates/ and static/ hold what the pages are made of; nothing comes from another host.
"""
