"""How actors live: started, watched, restarted, stopped; and the journal from which they come back.

Pure cores:
    child_spec         what the supervisor must know about each child and group
    exit_codes         what a child's exit code asks for
    restart_policy     what an exit means, when restarts are too many, how long to wait
    deadlines          at most one moment per key
    watches            who wants to know about whom
    node               children and groups, their states and transitions
    order              starts left to right, stops right to left
    effects            what the tree wants done, and what it reports
    tree               facts about processes in, effects out
    commands           what children may ask of the tree
    control_messages   what a child and its supervisor say, and the bytes of it
    hang_watch         whether a child's loop still turns
    meter              a page of numbers for each child, across its lives
    figures            figures of processes and machines, as values
    news               who is told what happens in the tree, and which alarms stand

Shells:
    supervisor         the poll loop around the tree
    process            fork, signals, reaping: the only file with `os.fork`
    control            both ends of the control channel
    beacon             the shared memory in which loops show that they turn
    machine            what the system says of a process and of the machine
    meters             all children's meters, in memory that they share
    wake_up            signals become bytes in a pipe
    data_directory     one broker's place on the disk, its lock, its socket files
    generations        numbers for lives that never come twice
    atomic_file        small files replaced as a whole

The journal:
    journal            append, commit, the event that a position is durable, replay, trim
    journal_format     the bytes of segments, chunks and footers
    journal_recovery   what the files mean after a crash: survey and repair
    journal_opening    lock, survey, refuse or repair
    journal_scan       one segment read from end to end
    journal_search     the commits of a segment that hold what is looked for
    journal_segment    one segment file: name, index, writer
    journal_sidecar    the last durable position, beside the segments
    journal_reader     records back from disk
    journal_chunk      one commit as it was read back
    journal_stats      figures for monitoring
    journal_history    all that is still there, with times, while another process writes it
    journal_tools      dump, verify, salvage
    disk               the seam to the file system

The supervisor is generic: nothing here knows an exchange from a queue. docs/supervision.md tells the whole
story.
"""
