"""The vocabulary of the log: events, and the records that hold those decided together.

A record says what was decided, never what was asked, so replay decides nothing. Pure: it may not know clocks,
chance, disk or network.
"""
