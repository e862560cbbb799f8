"""How alerts reach people: what the configuration says of them, and the ways to deliver a notice.

settings        the table [alerts] of the configuration file: rules and targets, checked
targets         one target: its address, and how it may be shown
letter          a notice in words, and as JSON
desk            the threads that deliver and write, so that the monitor never waits
webhook         a POST with JSON
command         a program that gets JSON on its standard input
apprise_target  mail, chat and push services, by apprise in a process of its own
apprise_sender  that process
"""
