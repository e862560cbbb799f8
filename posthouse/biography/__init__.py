"""The biography of a message: all that the journals say of it, in the order in which it happened.

Cores, records in and events out:
    events           what a biography is
    wanted           the names of the message that is looked for, and the messages of a batch that bear them
    queue_story      what a queue's journal says of it
    held_story       what an exchange's journal says of it: held, released
    delay_story      what the scheduler's journal says of it
    grave_story      what the dead letters' journal says of it
    route_story      which bindings matched, as the registry's journal has the topology of that moment
    telling          the stories of all actors as one

Shells:
    reading          the journals of a data directory, read while the broker may write them
    spans            a biography as OpenTelemetry spans

Nothing here asks a broker: everything is in the files, whether it runs or not. docs/biography.md says what is known.
"""
