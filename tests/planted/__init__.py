"""Bugs that are put into the product on purpose, and the checkers that must find them.

A checker that has never failed proves nothing. Every bug here is one that brokers have had; each is switched on alone,
and the promise named beside it must be reported broken.
"""
