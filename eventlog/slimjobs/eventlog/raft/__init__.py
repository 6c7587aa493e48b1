"""Consensus as a pure library: messages, proposals and ticks go in; what to persist, send and apply comes out.

It may not know clocks, chance, disk or network: whoever drives it does, and says when what it asked for is done.
"""
